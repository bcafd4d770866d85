package org.metaflowmaps.models.vision.text;

import java.util.List;

/** Splits texts into the numbered tokens that a text network reads. */
public interface Tokenizer {
    /**
     * Returns the tokens of a text: the start token, those of the text, the end token.
     *
     * @param text any text
     * @return at most {@link #context()} ids; a longer text is cut before the end token; without padding
     */
    int[] ids(String text);

    /** Returns the number of tokens of a padded row. */
    int context();

    /** Returns the id that fills a row after the end token. */
    int padding();

    /**
     * Returns the tokens of several texts, padded to {@link #context()} tokens.
     *
     * @return tensors on the CPU, in the innermost open scope
     * @throws IllegalArgumentException if there is no text
     */
    default TokenBatch batch(List<String> texts) {
        return TokenBatch.of(texts.stream().map(this::ids).toList(), context(), padding());
    }
}
