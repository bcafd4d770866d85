package org.metaflowmaps.models.vision.text;

import com.google.common.hash.Hashing;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Predicate;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.checkpoint.StrictJson;
import tools.jackson.databind.JsonNode;

/**
 * Compares tokenizers with ids that the public libraries compute, for {@code mfm selfcheck}.
 *
 * <p>The file has {@code contexts}, the most tokens by kind, and {@code strings}: texts with a list of ids for each of
 * the tokenizers, whose vocabularies are beside the file.
 */
public final class TokenReferences {
    private static final String FILE = "tokens.json";
    private static final String OPEN_CLIP = "bpe_simple_vocab_16e6.txt.gz";
    private static final String BERT = "vocab.txt";
    private static final String BERT_SHA_256 = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3";

    private TokenReferences() {}

    /**
     * The result of one tokenizer.
     *
     * @param name the tokenizer, as in the file
     * @param texts the number of texts; 0 if the tokenizer was not run
     * @param wrong the number of texts with other ids
     * @param note the number of texts, the first text with other ids, or the reason why it was not run
     */
    public record Outcome(String name, int texts, int wrong, String note) {}

    /** Returns the file of reference ids in a folder or in its folder {@code tokenizers}, if there is one. */
    public static Optional<Path> find(Path folder) {
        Objects.requireNonNull(folder, "find: folder is null");
        return List.of(folder.resolve(FILE), folder.resolve("tokenizers").resolve(FILE)).stream()
                .filter(Files::isRegularFile)
                .findFirst();
    }

    /** Returns whether a file is named as one of reference ids. */
    public static boolean isFor(Path file) {
        return Objects.requireNonNull(file, "isFor: file is null").endsWith(FILE);
    }

    /**
     * Compares all texts for each tokenizer.
     *
     * @param file the reference ids
     * @param only the tokenizers to compare, by name
     * @throws IOException if the file is missing or damaged
     */
    public static List<Outcome> run(Path file, Predicate<String> only) throws IOException {
        Objects.requireNonNull(file, "run: file is null");
        Objects.requireNonNull(only, "run: only is null");
        JsonNode root;
        try {
            root = StrictJson.object(Files.readString(file));
        } catch (IllegalArgumentException e) {
            throw new IOException(file + " is not understood: " + e.getMessage(), e);
        }
        List<JsonNode> texts = root.path("strings").valueStream().toList();
        List<String> names = texts.stream()
                .flatMap(text -> text.propertyNames().stream())
                .filter(name -> !name.equals("text"))
                .distinct()
                .toList();
        if (names.isEmpty()) {
            throw new IOException(file + " has no 'strings' with ids");
        }
        List<Outcome> outcomes = new ArrayList<>();
        for (String name : names) {
            if (only.test(name)) {
                outcomes.add(compared(name, texts, file.resolveSibling(""), root.path("contexts")));
            }
        }
        return outcomes;
    }

    private static Outcome compared(String name, List<JsonNode> texts, Path folder, JsonNode contexts) {
        try {
            String missing = missing(name, folder);
            return missing == null
                    ? compared(name, texts, open(name, folder, contexts))
                    : new Outcome(name, 0, 0, missing);
        } catch (IOException | RuntimeException e) {
            return new Outcome(name, texts.size(), texts.size(), String.valueOf(e.getMessage()));
        }
    }

    private static Outcome compared(String name, List<JsonNode> texts, Tokenizer tokenizer) {
        int count = 0;
        List<String> wrong = new ArrayList<>();
        for (JsonNode each : texts) {
            JsonNode expected = each.path(name);
            if (expected.isArray()) {
                count++;
                String text = each.path("text").asString("");
                int[] ids = tokenizer.ids(text);
                if (!IntStream.of(ids).boxed().toList().equals(values(expected))) {
                    wrong.add("'" + text + "' gives " + Arrays.toString(ids) + ", expected " + values(expected));
                }
            }
        }
        return new Outcome(name, count, wrong.size(), wrong.isEmpty() ? count + " texts" : wrong.getFirst());
    }

    private static List<Integer> values(JsonNode ids) {
        return ids.valueStream().map(JsonNode::intValue).toList();
    }

    /** Returns why a tokenizer cannot be run here, or null. */
    private static @Nullable String missing(String name, Path folder) throws IOException {
        List<String> files = switch (name) {
            case "clip_open", "clip_hf" -> List.of(OPEN_CLIP);
            case "clip_open_tiny" -> List.of("tiny-bpe.txt.gz");
            case "clip_hf_tiny" -> List.of("tiny-vocab.json", "tiny-merges.txt");
            case "bert_tiny" -> List.of("tiny-bert-vocab.txt");
            case "bert" -> List.of(BERT);
            default -> List.of();
        };
        for (String file : files) {
            if (!Files.exists(folder.resolve(file))) {
                return "needs " + file + " in " + folder
                        + (name.equals("bert") ? ", bert-base-uncased's with SHA-256 " + BERT_SHA_256 : "");
            }
        }
        if (name.equals("bert") && !sha256(folder.resolve(BERT)).equals(BERT_SHA_256)) {
            return folder.resolve(BERT) + " is not that of bert-base-uncased, with SHA-256 " + BERT_SHA_256;
        }
        return files.isEmpty() ? "there is no such tokenizer" : null;
    }

    private static Tokenizer open(String name, Path folder, JsonNode contexts) throws IOException {
        int clip = contexts.path("clip").asInt(ClipTokenizer.CONTEXT);
        int tiny = contexts.path("clip_tiny").asInt(ClipTokenizer.CONTEXT);
        int bert = contexts.path("bert").asInt(BertTokenizer.CONTEXT);
        return switch (name) {
            case "clip_open" -> ClipTokenizer.openClip(folder.resolve(OPEN_CLIP), clip);
            case "clip_hf" -> ClipTokenizer.huggingFaceOf(folder.resolve(OPEN_CLIP), clip);
            case "clip_open_tiny" -> ClipTokenizer.openClip(folder.resolve("tiny-bpe.txt.gz"), tiny);
            case "clip_hf_tiny" ->
                ClipTokenizer.huggingFace(folder.resolve("tiny-vocab.json"), folder.resolve("tiny-merges.txt"), tiny);
            case "bert_tiny" -> BertTokenizer.open(folder.resolve("tiny-bert-vocab.txt"), bert);
            default -> BertTokenizer.open(folder.resolve(BERT), bert);
        };
    }

    private static String sha256(Path file) throws IOException {
        return Hashing.sha256().hashBytes(Files.readAllBytes(file)).toString();
    }
}
