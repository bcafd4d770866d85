package org.metaflowmaps.cli.command;

import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** {@code mfm data}: commands that prepare data. */
@Command(
        name = "data",
        mixinStandardHelpOptions = true,
        description = "Prepare data for training.",
        synopsisSubcommandLabel = "COMMAND",
        subcommands = DataEncodeCommand.class)
public final class DataCommand implements Callable<Integer> {
    @Spec
    private @Nullable CommandSpec spec;

    @Override
    public Integer call() {
        CommandLine line = Objects.requireNonNull(spec).commandLine();
        line.usage(line.getErr());
        return CommandLine.ExitCode.USAGE;
    }
}
