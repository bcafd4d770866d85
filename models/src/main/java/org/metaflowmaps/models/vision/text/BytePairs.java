package org.metaflowmaps.models.vision.text;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * Byte-pair encoding of single words: their UTF-8 bytes become symbols, the last with a suffix, and the adjacent pair
 * that comes first in the list of merges is joined until no pair is in the list (Sennrich et al., arXiv 1508.07909).
 */
final class BytePairs {
    /** The suffix of the last symbol of a word. */
    static final String END_OF_WORD = "</w>";

    /** The symbols of bytes 0 to 255. */
    private static final String[] SYMBOLS = new String[256];

    /** The bytes in the order of their ids: printable ones, then the rest. */
    private static final int[] ORDER = new int[256];

    /** Words of texts are untrusted, so do not keep any number. */
    private static final int MOST_CACHED = 10_000;

    static {
        int count = 0;
        for (int b = 0; b < 256; b++) {
            if (isPrintable(b)) {
                SYMBOLS[b] = String.valueOf((char) b);
                ORDER[count++] = b;
            }
        }
        int other = 256;
        for (int b = 0; b < 256; b++) {
            if (!isPrintable(b)) {
                SYMBOLS[b] = String.valueOf((char) other++);
                ORDER[count++] = b;
            }
        }
    }

    private final Map<String, Integer> ids;
    private final Map<Pair, Integer> ranks = new HashMap<>();
    private final Map<String, int[]> cache = new ConcurrentHashMap<>();

    /** Two symbols to join. */
    record Pair(String left, String right) {
        String joined() {
            return left + right;
        }
    }

    private BytePairs(Map<String, Integer> ids, List<Pair> merges) {
        this.ids = ids;
        for (Pair merge : merges) {
            ranks.putIfAbsent(merge, ranks.size());
        }
    }

    private static boolean isPrintable(int b) {
        return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    }

    /** Returns the ids that the order of bytes and merges defines: 256 bytes, the same as ends, the merges. */
    static Map<String, Integer> ordered(Path file, List<Pair> merges) throws TokenizerFileException {
        Map<String, Integer> ids = new HashMap<>();
        for (String suffix : new String[] {"", END_OF_WORD}) {
            for (int b : ORDER) {
                ids.put(SYMBOLS[b] + suffix, ids.size());
            }
        }
        for (Pair merge : merges) {
            if (ids.putIfAbsent(merge.joined(), ids.size()) != null) {
                throw new TokenizerFileException(
                        file,
                        "two merges give '" + merge.joined() + "'",
                        "a different symbol from each merge, so that the order of merges numbers them");
            }
        }
        return ids;
    }

    /**
     * Makes an encoder.
     *
     * @param file named in errors
     * @throws TokenizerFileException unless every byte and every merge's parts and result have an id
     */
    static BytePairs of(Path file, Map<String, Integer> ids, List<Pair> merges) throws TokenizerFileException {
        for (String symbol : SYMBOLS) {
            require(file, ids, symbol, "the 256 symbols of bytes, each also with the suffix " + END_OF_WORD);
            require(
                    file,
                    ids,
                    symbol + END_OF_WORD,
                    "the 256 symbols of bytes, each also with the suffix " + END_OF_WORD);
        }
        for (Pair merge : merges) {
            String expected = "an id for both parts and the result of merge '" + merge.left() + " " + merge.right()
                    + "': use files of the same tokenizer";
            require(file, ids, merge.left(), expected);
            require(file, ids, merge.right(), expected);
            require(file, ids, merge.joined(), expected);
        }
        return new BytePairs(ids, merges);
    }

    private static void require(Path file, Map<String, Integer> ids, String symbol, String expected)
            throws TokenizerFileException {
        if (!ids.containsKey(symbol)) {
            throw new TokenizerFileException(file, "'" + symbol + "' has no id", expected);
        }
    }

    /** Returns the ids of a word, which is not empty. */
    int[] encode(String word) {
        int[] known = cache.get(word);
        if (known == null) {
            known = merged(word);
            if (cache.size() < MOST_CACHED) {
                cache.put(word, known);
            }
        }
        return known;
    }

    private int[] merged(String word) {
        List<String> symbols = new ArrayList<>();
        for (byte b : word.getBytes(StandardCharsets.UTF_8)) {
            symbols.add(SYMBOLS[b & 0xff]);
        }
        symbols.set(symbols.size() - 1, symbols.getLast() + END_OF_WORD);
        Pair next = first(symbols);
        while (next != null) {
            symbols = joined(symbols, next);
            next = first(symbols);
        }
        return symbols.stream()
                .mapToInt(symbol -> Objects.requireNonNull(ids.get(symbol), symbol))
                .toArray();
    }

    /** Returns the pair that comes first in the list of merges, or null. */
    private @Nullable Pair first(List<String> symbols) {
        Pair best = null;
        int bestRank = Integer.MAX_VALUE;
        for (int i = 0; i + 1 < symbols.size(); i++) {
            Pair pair = new Pair(symbols.get(i), symbols.get(i + 1));
            int rank = ranks.getOrDefault(pair, Integer.MAX_VALUE);
            if (rank < bestRank) {
                best = pair;
                bestRank = rank;
            }
        }
        return best;
    }

    private static List<String> joined(List<String> symbols, Pair pair) {
        List<String> result = new ArrayList<>();
        for (int i = 0; i < symbols.size(); i++) {
            boolean match = i + 1 < symbols.size()
                    && symbols.get(i).equals(pair.left())
                    && symbols.get(i + 1).equals(pair.right());
            result.add(match ? pair.joined() : symbols.get(i));
            i += match ? 1 : 0;
        }
        return result;
    }
}
