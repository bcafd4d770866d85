package org.metaflowmaps.cli.option;

import java.nio.file.Path;
import picocli.CommandLine.Option;

/** {@code --out} of commands that write a picture or numbers. */
public final class OutOption {
    @Option(
            names = "--out",
            paramLabel = "FILE",
            description = "A .png for a picture (of latents without --vae: three channels as colours), a"
                    + " .safetensors for images, labels and rewards. Default: ${DEFAULT-VALUE}.")
    private Path file;

    /** Makes the option with its default. */
    public OutOption(String otherwise) {
        this.file = Path.of(otherwise);
    }

    /** Returns the file. */
    public Path file() {
        return file;
    }

    /** Returns true for numbers, false for a picture. */
    public boolean isNumbers() {
        return file.toString().endsWith(".safetensors");
    }
}
