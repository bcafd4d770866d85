package org.metaflowmaps.models.vision.text;

import java.io.BufferedInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.GZIPInputStream;
import java.util.zip.ZipException;
import tools.jackson.core.JacksonException;
import tools.jackson.core.StreamReadFeature;
import tools.jackson.core.json.JsonFactory;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Reads the text of vocabulary files, which are untrusted, with a bound on their size. */
final class VocabularyFile {
    /** The public files have 0.2 to 3.2 MB, decompressed. */
    private static final int MOST_BYTES = 1 << 25;

    private static final JsonMapper JSON = JsonMapper.builder(JsonFactory.builder()
                    .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
                    .build())
            .build();

    private VocabularyFile() {}

    /** Returns the lines of a UTF-8 text, decompressed if it is gzip data, without line ends. */
    static List<String> lines(Path file) throws IOException {
        return text(file).lines().toList();
    }

    private static String text(Path file) throws IOException {
        byte[] bytes = bytes(file);
        try {
            return StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(ByteBuffer.wrap(bytes))
                    .toString();
        } catch (CharacterCodingException e) {
            throw new TokenizerFileException(file, "it is not UTF-8", "a text file of a vocabulary", e);
        }
    }

    private static byte[] bytes(Path file) throws IOException {
        try (InputStream raw = new BufferedInputStream(Files.newInputStream(file))) {
            raw.mark(2);
            boolean packed = raw.read() == 0x1f && raw.read() == 0x8b;
            raw.reset();
            InputStream in = packed ? new GZIPInputStream(raw) : raw;
            byte[] bytes = in.readNBytes(MOST_BYTES + 1);
            if (bytes.length > MOST_BYTES) {
                throw new TokenizerFileException(
                        file, "it has more than " + MOST_BYTES + " bytes", "a vocabulary of a few megabytes");
            }
            return bytes;
        } catch (EOFException | ZipException e) {
            throw new TokenizerFileException(
                    file, "its gzip data is damaged (" + e.getMessage() + ")", "a whole file: copy it again", e);
        }
    }

    /** Returns the tokens and ids of a JSON object; ids are unique and from 0 to 2^24. */
    static Map<String, Integer> ids(Path file) throws IOException {
        String expected = "a JSON object of tokens and their ids, such as {\"a\": 0}";
        JsonNode tree;
        try {
            tree = JSON.readTree(text(file));
        } catch (JacksonException e) {
            throw new TokenizerFileException(
                    file, "it is not valid JSON (" + e.getOriginalMessage() + ")", expected, e);
        }
        if (!tree.isObject()) {
            throw new TokenizerFileException(file, "it is not a JSON object", expected);
        }
        Map<String, Integer> ids = new HashMap<>();
        Map<Integer, String> tokens = new HashMap<>();
        for (Map.Entry<String, JsonNode> entry : tree.properties()) {
            JsonNode id = entry.getValue();
            if (!id.isInt() || id.intValue() < 0 || id.intValue() >= 1 << 24) {
                throw new TokenizerFileException(file, "token '" + entry.getKey() + "' has id " + id, expected);
            }
            String other = tokens.putIfAbsent(id.intValue(), entry.getKey());
            if (other != null) {
                throw new TokenizerFileException(
                        file,
                        "tokens '" + other + "' and '" + entry.getKey() + "' have the same id " + id,
                        "a different id for each token");
            }
            ids.put(entry.getKey(), id.intValue());
        }
        return ids;
    }

    /**
     * Reads pairs of symbols to merge, the most important first.
     *
     * @param most pairs after this number are not read
     */
    static List<BytePairs.Pair> merges(Path file, int most) throws IOException {
        List<String> lines = lines(file);
        List<BytePairs.Pair> pairs = new ArrayList<>();
        // The first line is a comment.
        for (int i = 1; i < lines.size() && pairs.size() < most; i++) {
            String line = lines.get(i);
            if (line.isEmpty() && i == lines.size() - 1) {
                break;
            }
            int space = line.indexOf(' ');
            if (space <= 0 || space == line.length() - 1 || line.indexOf(' ', space + 1) >= 0) {
                throw new TokenizerFileException(
                        file,
                        "line " + (i + 1) + " is '" + shortened(line) + "'",
                        "two symbols with one space between them, after a first line with the version");
            }
            pairs.add(new BytePairs.Pair(line.substring(0, space), line.substring(space + 1)));
        }
        if (pairs.isEmpty()) {
            throw new TokenizerFileException(
                    file, "it has no merges", "a line with the version, then one merge a line");
        }
        return pairs;
    }

    private static String shortened(String text) {
        return text.length() <= 40 ? text : text.substring(0, 40) + "...";
    }
}
