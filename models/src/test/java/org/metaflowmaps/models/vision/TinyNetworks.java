package org.metaflowmaps.models.vision;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.file.Safetensors;
import org.metaflowmaps.runtime.file.TensorFile;

/** Files of small networks and vocabularies, as users have them, from the reference values of the public libraries. */
public final class TinyNetworks {
    private static final String WEIGHTS = "weights/";
    private static final String TEXT = "/org/metaflowmaps/models/vision/text/";

    private TinyNetworks() {}

    /** Copies a file of reference values. */
    public static Path reference(Path folder, String name) throws IOException {
        return copy(folder, "/vision/" + name, name);
    }

    /** Writes the weights of reference values to a folder of that name, with their {@code config.json}. */
    public static Path weights(Path parent, String name) throws IOException {
        Path folder = Files.createDirectories(parent.resolve(name));
        Path reference = reference(parent, name + ".safetensors");
        Path target = folder.resolve("model.safetensors");
        try (TensorFile file = TensorFile.open(reference);
                TensorScope scope = TensorScope.open()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            file.entries().keySet().stream()
                    .filter(tensor -> tensor.startsWith(WEIGHTS))
                    .forEach(tensor -> tensors.put(tensor.substring(WEIGHTS.length()), file.view(tensor)));
            Safetensors.write(target, Map.of(), tensors);
            Files.writeString(
                    folder.resolve("config.json"),
                    Objects.requireNonNull(file.metadata().get("config")));
        }
        return target;
    }

    /** Copies the merges of open_clip's tokenizer. */
    public static Path merges(Path folder) throws IOException {
        return copy(folder, TEXT + "tiny-bpe.txt.gz", "tiny-bpe.txt.gz");
    }

    /** Copies the vocabulary and merges of Hugging Face's tokenizer to a folder. */
    public static Path tokenizer(Path parent) throws IOException {
        Path folder = Files.createDirectories(parent.resolve("tokenizer"));
        copy(folder, TEXT + "tiny-vocab.json", "vocab.json");
        copy(folder, TEXT + "tiny-merges.txt", "merges.txt");
        return folder;
    }

    /** Copies the vocabulary of BERT. */
    public static Path bertVocabulary(Path folder) throws IOException {
        return copy(folder, TEXT + "tiny-bert-vocab.txt", "vocab.txt");
    }

    private static Path copy(Path folder, String resource, String name) throws IOException {
        Path target = folder.resolve(name);
        try (InputStream in = Objects.requireNonNull(TinyNetworks.class.getResourceAsStream(resource), resource)) {
            if (!Files.exists(target)) {
                Files.copy(in, target);
            }
        }
        return target;
    }
}
