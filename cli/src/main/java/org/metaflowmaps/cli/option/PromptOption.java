package org.metaflowmaps.cli.option;

import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.steering.reward.Prompt;
import org.metaflowmaps.steering.reward.TextInputs;
import picocli.CommandLine.Option;

/** The text of rewards by text and image, and the files of their tokenizers. */
public final class PromptOption {
    /** The value of {@code --class-names} for the included list. */
    private static final String IMAGENET = "imagenet";

    private static final String IMAGENET_NAMES = "imagenet-classes.txt";
    private static final long MOST_BYTES = 10_000_000;

    @Option(
            names = "--prompt",
            paramLabel = "TEXT",
            description = "For rewards with a text: the text, in which {} is replaced by the name of the image's"
                    + " class, such as 'a photo of a {}'.")
    private @Nullable String prompt;

    @Option(
            names = "--class-names",
            paramLabel = "FILE",
            description = "For {} in --prompt: a file with the name of each class in a line of its own, in the order"
                    + " of the labels; or imagenet. Default: the checkpoint's names.")
    private @Nullable String names;

    @Option(
            names = "--tokenizer",
            paramLabel = "FILE",
            description = "For hpsv2, pickscore and clip: bpe_simple_vocab_16e6.txt.gz, or a folder with vocab.json"
                    + " and merges.txt.")
    private @Nullable Path tokenizer;

    @Option(
            names = "--bert-vocabulary",
            paramLabel = "FILE",
            description = "For imagereward: the vocab.txt of bert-base-uncased.")
    private @Nullable Path bertVocabulary;

    /** Returns true if no text was given. */
    boolean isMissing() {
        return prompt == null || prompt.isBlank();
    }

    /** Returns true if the text depends on the class of an image. */
    public boolean isPerClass() {
        return prompt != null && prompt.contains("{}");
    }

    /**
     * Returns the text for rewards.
     *
     * @param own the names that the checkpoint has
     * @param labels the labels of the images; empty for all classes
     * @return empty if no text was given
     * @throws IllegalArgumentException if the names do not fit the map
     * @throws IOException if the file of names cannot be read
     */
    public Optional<TextInputs> inputs(MetaFlowMap map, ClassNames own, long[] labels) throws IOException {
        String given = prompt;
        if (given == null) {
            return Optional.empty();
        }
        Prompt text = isPerClass() ? perClass(given, map, own, labels) : Prompt.of(given);
        return Optional.of(new TextInputs(text, Optional.ofNullable(tokenizer), Optional.ofNullable(bertVocabulary)));
    }

    private Prompt perClass(String template, MetaFlowMap map, ClassNames own, long[] labels) throws IOException {
        List<String> known = names(own);
        if (map.classes() == 0) {
            throw new IllegalArgumentException(
                    "--prompt '" + template + "' has a {} for the class's name, and this map has no classes");
        }
        if (known.isEmpty()) {
            throw new IllegalArgumentException("--prompt '" + template + "' has a {} for the class's name, and the"
                    + " checkpoint has no names: give them as --class-names FILE, or --class-names imagenet");
        }
        if (known.size() != map.classes()) {
            throw new IllegalArgumentException("--class-names " + names + " has " + known.size()
                    + " names, and this map has " + map.classes() + " classes: give one line for each");
        }
        Set<Integer> wanted = new HashSet<>();
        Arrays.stream(labels).forEach(label -> wanted.add(Math.toIntExact(label)));
        return new Prompt(template, known, wanted);
    }

    private List<String> names(ClassNames own) throws IOException {
        String given = names;
        if (given == null) {
            return own.known();
        }
        return given.equals(IMAGENET) ? imagenet() : lines(Path.of(given));
    }

    private static List<String> imagenet() throws IOException {
        return Resource.text(IMAGENET_NAMES).lines().toList();
    }

    private static List<String> lines(Path file) throws IOException {
        if (!Files.isRegularFile(file)) {
            throw new IOException("--class-names " + file + (Files.exists(file) ? " is not a file" : " does not exist")
                    + ": give a file with one name in each line, or imagenet");
        }
        if (Files.size(file) > MOST_BYTES) {
            throw new IOException("--class-names " + file + " has " + Files.size(file)
                    + " bytes, expected a text file of at most " + MOST_BYTES);
        }
        try {
            List<String> lines = new ArrayList<>(Files.readAllLines(file));
            lines.replaceAll(String::strip);
            while (!lines.isEmpty() && lines.getLast().isEmpty()) {
                lines.removeLast();
            }
            int empty = lines.indexOf("");
            if (empty >= 0) {
                throw new IOException("--class-names " + file + ": line " + (empty + 1) + " is empty");
            }
            return lines;
        } catch (CharacterCodingException e) {
            throw new IOException("--class-names " + file + " is not UTF-8 text", e);
        }
    }
}
