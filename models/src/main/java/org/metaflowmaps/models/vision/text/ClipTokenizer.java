package org.metaflowmaps.models.vision.text;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;

/**
 * CLIP's byte-pair tokenizer (Radford et al., arXiv 2103.00020), in two variants that agree for plain ASCII texts.
 *
 * <p>{@link #openClip} follows open_clip's {@code SimpleTokenizer}, used by HPS and by OpenAI's own code: it repairs
 * wrongly decoded characters, replaces typographic quotes, ligatures and HTML character references, and lower-cases the
 * whole text. {@link #huggingFace} follows transformers' {@code CLIPTokenizerFast}, used by PickScore and by CLIP scores
 * of transformers: it only composes characters (NFC), joins white space and lower-cases each character.
 */
public final class ClipTokenizer implements Tokenizer {
    /** The usual number of tokens of a padded text. */
    public static final int CONTEXT = 77;

    /** open_clip's vocabulary: 2 · 256 bytes, these merges, 2 special tokens. */
    private static final int MOST_MERGES = 48_894;

    /** Hugging Face's names. */
    private static final String START = "<|startoftext|>";

    private static final String END = "<|endoftext|>";

    private static final String SPLIT = "'s|'t|'re|'ve|'m|'ll|'d|\\p{L}+|\\p{N}|[^\\p{IsWhite_Space}\\p{L}\\p{N}]+";

    private final BytePairs pairs;
    private final Map<String, Integer> special;
    private final Pattern names;
    private final Pattern split;
    private final Cleaning cleaning;
    private final int start;
    private final int end;
    private final int context;
    private final int padding;

    private enum Cleaning {
        OPEN_CLIP,
        HUGGING_FACE
    }

    private ClipTokenizer(
            BytePairs pairs, String startName, String endName, int start, int end, Cleaning cleaning, int context) {
        TokenBatch.checkContext(context);
        this.pairs = pairs;
        this.special = Map.of(startName, start, endName, end);
        this.start = start;
        this.end = end;
        this.cleaning = cleaning;
        this.context = context;
        this.padding = cleaning == Cleaning.OPEN_CLIP ? 0 : end;
        String names = Pattern.quote(startName) + "|" + Pattern.quote(endName);
        this.names = Pattern.compile(names);
        // open_clip compares without case, so that 'ſ (long s) also splits; texts are in lower case otherwise.
        this.split = cleaning == Cleaning.OPEN_CLIP
                ? Pattern.compile(names + "|" + SPLIT, Pattern.CASE_INSENSITIVE | Pattern.UNICODE_CASE)
                : Pattern.compile(SPLIT);
    }

    /**
     * Reads open_clip's merges; ids follow from their order.
     *
     * @param merges such as {@code bpe_simple_vocab_16e6.txt.gz}, with or without compression
     * @param context tokens of a padded text, from 2; {@link #CONTEXT} for the public networks
     * @return a tokenizer that pads with 0
     * @throws TokenizerFileException if the file is damaged or not a list of merges
     * @throws IOException if the file cannot be read
     */
    public static ClipTokenizer openClip(Path merges, int context) throws IOException {
        List<BytePairs.Pair> list = VocabularyFile.merges(merges, MOST_MERGES);
        Map<String, Integer> ids = BytePairs.ordered(merges, list);
        BytePairs pairs = BytePairs.of(merges, ids, list);
        return new ClipTokenizer(
                pairs, "<start_of_text>", "<end_of_text>", ids.size(), ids.size() + 1, Cleaning.OPEN_CLIP, context);
    }

    /**
     * Reads Hugging Face's pair of files.
     *
     * @param vocabulary {@code vocab.json}, with the ids of all tokens
     * @param merges {@code merges.txt}
     * @param context tokens of a padded text, from 2; {@link #CONTEXT} for the public networks
     * @return a tokenizer that pads with the end token
     * @throws TokenizerFileException if a file is damaged, or the two are not of one tokenizer
     * @throws IOException if a file cannot be read
     */
    public static ClipTokenizer huggingFace(Path vocabulary, Path merges, int context) throws IOException {
        Map<String, Integer> ids = VocabularyFile.ids(vocabulary);
        BytePairs pairs = BytePairs.of(vocabulary, ids, VocabularyFile.merges(merges, Integer.MAX_VALUE));
        Integer start = ids.get(START);
        Integer end = ids.get(END);
        if (start == null || end == null) {
            throw new TokenizerFileException(
                    vocabulary,
                    "it has no " + (start == null ? START : END),
                    "CLIP's vocabulary, with " + START + " and " + END);
        }
        return new ClipTokenizer(pairs, START, END, start, end, Cleaning.HUGGING_FACE, context);
    }

    /** {@link #huggingFace} of open_clip's file: the public {@code vocab.json} has ids in the order of the same merges. */
    static ClipTokenizer huggingFaceOf(Path merges, int context) throws IOException {
        List<BytePairs.Pair> list = VocabularyFile.merges(merges, MOST_MERGES);
        Map<String, Integer> ids = BytePairs.ordered(merges, list);
        BytePairs pairs = BytePairs.of(merges, ids, list);
        return new ClipTokenizer(pairs, START, END, ids.size(), ids.size() + 1, Cleaning.HUGGING_FACE, context);
    }

    /** Returns the id of the start token. */
    public int start() {
        return start;
    }

    /** Returns the id of the end token. */
    public int end() {
        return end;
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
        String clean = switch (cleaning) {
            case OPEN_CLIP -> TextCleaning.openClip(text);
            case HUGGING_FACE -> TextCleaning.huggingFace(text);
        };
        IntStream.Builder ids = IntStream.builder();
        ids.add(start);
        int left = context - 2;
        if (cleaning == Cleaning.HUGGING_FACE) {
            // transformers finds special tokens before words, so also after other signs without a space.
            Matcher special = names.matcher(clean);
            int at = 0;
            while (left > 0 && special.find()) {
                left = words(clean.substring(at, special.start()), ids, left);
                left = add(new int[] {id(special.group())}, ids, left);
                at = special.end();
            }
            clean = clean.substring(at);
        }
        words(clean, ids, left);
        ids.add(end);
        return ids.build().toArray();
    }

    private int id(String specialName) {
        return Objects.requireNonNull(special.get(specialName), specialName);
    }

    /** Adds at most {@code left} ids of words; returns how many may follow. */
    private int words(String text, IntStream.Builder ids, int left) {
        Matcher words = split.matcher(text);
        int most = left;
        while (most > 0 && words.find()) {
            Integer known = special.get(words.group());
            most = add(known != null ? new int[] {known} : pairs.encode(words.group()), ids, most);
        }
        return most;
    }

    private static int add(int[] parts, IntStream.Builder to, int left) {
        int count = Math.min(left, parts.length);
        for (int i = 0; i < count; i++) {
            to.add(parts[i]);
        }
        return left - count;
    }
}
