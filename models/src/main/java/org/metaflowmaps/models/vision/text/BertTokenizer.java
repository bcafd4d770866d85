package org.metaflowmaps.models.vision.text;

import java.io.IOException;
import java.nio.file.Path;
import java.text.Normalizer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * BERT's lower-casing WordPiece tokenizer (Devlin et al., arXiv 1810.04805) with BLIP's two additional tokens, which
 * ImageReward uses (transformers' {@code BertTokenizer} with {@code [DEC]} and {@code [ENC]}).
 */
public final class BertTokenizer implements Tokenizer {
    /** ImageReward's number of tokens. */
    public static final int CONTEXT = 35;

    private static final int LONGEST_WORD = 100;
    private static final Pattern SPECIAL = Pattern.compile("\\[(?:UNK|SEP|PAD|CLS|MASK|DEC|ENC)\\]");
    private static final Pattern MARKS = Pattern.compile("\\p{Mn}+");

    private final Map<String, Integer> ids;
    private final int context;
    private final int start;
    private final int end;
    private final int padding;
    private final int unknown;

    private BertTokenizer(Path file, Map<String, Integer> ids, int context) throws TokenizerFileException {
        this.ids = ids;
        this.context = context;
        start = required(file, "[CLS]");
        end = required(file, "[SEP]");
        padding = required(file, "[PAD]");
        unknown = required(file, "[UNK]");
        required(file, "[MASK]");
    }

    private int required(Path file, String token) throws TokenizerFileException {
        Integer id = ids.get(token);
        if (id == null) {
            throw new TokenizerFileException(
                    file, "it has no line '" + token + "'", "vocab.txt of an uncased BERT, one token a line");
        }
        return id;
    }

    /**
     * Reads a vocabulary.
     *
     * @param vocabulary {@code vocab.txt}: one token per line, whose id is its number from 0; {@code [DEC]} and
     *     {@code [ENC]} are added at its end if they are not in it
     * @param context tokens of a padded text, from 2; {@link #CONTEXT} for ImageReward
     * @return a tokenizer that pads with {@code [PAD]}
     * @throws TokenizerFileException if the file is damaged, or lacks a special token
     * @throws IOException if the file cannot be read
     */
    public static BertTokenizer open(Path vocabulary, int context) throws IOException {
        TokenBatch.checkContext(context);
        List<String> lines = VocabularyFile.lines(vocabulary);
        Map<String, Integer> ids = new HashMap<>();
        for (String line : lines) {
            Integer other = ids.put(line, ids.size());
            if (other != null) {
                throw new TokenizerFileException(
                        vocabulary,
                        "lines " + (other + 1) + " and " + (ids.size() + 1) + " are both '" + line + "'",
                        "each token once");
            }
        }
        for (String added : new String[] {"[DEC]", "[ENC]"}) {
            ids.putIfAbsent(added, ids.size());
        }
        return new BertTokenizer(vocabulary, ids, context);
    }

    /** Returns the number of tokens, with the two additional ones: the rows of the embedding table. */
    public int size() {
        return ids.size();
    }

    @Override
    public int context() {
        return context;
    }

    @Override
    public int padding() {
        return padding;
    }

    @Override
    public int[] ids(String text) {
        List<Integer> all = new ArrayList<>();
        all.add(start);
        Matcher special = SPECIAL.matcher(text);
        int at = 0;
        while (special.find()) {
            words(text.substring(at, special.start()), all);
            all.add(ids.getOrDefault(special.group(), unknown));
            at = special.end();
        }
        words(text.substring(at), all);
        while (all.size() > context - 1) {
            all.removeLast();
        }
        all.add(end);
        return all.stream().mapToInt(Integer::intValue).toArray();
    }

    private void words(String text, List<Integer> to) {
        String lower = TextCleaning.lowerCaseEach(text);
        String composed = Normalizer.normalize(spaced(lower), Normalizer.Form.NFC);
        StringBuilder word = new StringBuilder();
        composed.codePoints().forEach(c -> {
            if (TextCleaning.isPythonSpace(c)) {
                split(word.toString(), to);
                word.setLength(0);
            } else {
                word.appendCodePoint(c);
            }
        });
        split(word.toString(), to);
    }

    /** Drops controls, makes a space of white space, and puts spaces around Chinese characters. */
    private static String spaced(String text) {
        StringBuilder result = new StringBuilder(text.length());
        text.codePoints().forEach(c -> {
            if (c == '\t' || c == '\n' || c == '\r' || Character.getType(c) == Character.SPACE_SEPARATOR) {
                result.append(' ');
            } else if (isChinese(c)) {
                result.append(' ').appendCodePoint(c).append(' ');
            } else if (c != 0xfffd && !isControl(c)) {
                result.appendCodePoint(c);
            }
        });
        return result.toString();
    }

    private static boolean isControl(int c) {
        return switch (Character.getType(c)) {
            case Character.CONTROL,
                    Character.FORMAT,
                    Character.SURROGATE,
                    Character.PRIVATE_USE,
                    Character.UNASSIGNED -> true;
            default -> false;
        };
    }

    private static boolean isChinese(int c) {
        return (c >= 0x4e00 && c <= 0x9fff)
                || (c >= 0x3400 && c <= 0x4dbf)
                || (c >= 0x20000 && c <= 0x2a6df)
                || (c >= 0x2a700 && c <= 0x2b73f)
                || (c >= 0x2b740 && c <= 0x2b81f)
                || (c >= 0x2b820 && c <= 0x2ceaf)
                || (c >= 0xf900 && c <= 0xfaff)
                || (c >= 0x2f800 && c <= 0x2fa1f);
    }

    /** Splits a word without white space at its punctuation, after its accents are removed. */
    private void split(String word, List<Integer> to) {
        String plain =
                MARKS.matcher(Normalizer.normalize(word, Normalizer.Form.NFD)).replaceAll("");
        int[] points = plain.codePoints().toArray();
        int begin = 0;
        for (int i = 0; i < points.length; i++) {
            if (isPunctuation(points[i])) {
                pieces(points, begin, i, to);
                pieces(points, i, i + 1, to);
                begin = i + 1;
            }
        }
        pieces(points, begin, points.length, to);
    }

    private static boolean isPunctuation(int c) {
        if ((c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126)) {
            return true;
        }
        return switch (Character.getType(c)) {
            case Character.CONNECTOR_PUNCTUATION,
                    Character.DASH_PUNCTUATION,
                    Character.START_PUNCTUATION,
                    Character.END_PUNCTUATION,
                    Character.INITIAL_QUOTE_PUNCTUATION,
                    Character.FINAL_QUOTE_PUNCTUATION,
                    Character.OTHER_PUNCTUATION -> true;
            default -> false;
        };
    }

    /** Adds the longest pieces that the vocabulary has, from left to right, or one unknown token. */
    private void pieces(int[] points, int begin, int end, List<Integer> to) {
        if (begin == end) {
            return;
        }
        List<Integer> found = new ArrayList<>();
        int at = begin;
        while (at < end && end - begin <= LONGEST_WORD) {
            int last = end;
            Integer id = null;
            while (last > at && id == null) {
                id = ids.get((at > begin ? "##" : "") + new String(points, at, last - at));
                last--;
            }
            if (id == null) {
                break;
            }
            found.add(id);
            at = last + 1;
        }
        if (at < end) {
            to.add(unknown);
        } else {
            to.addAll(found);
        }
    }
}
