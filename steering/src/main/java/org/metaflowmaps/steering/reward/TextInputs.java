package org.metaflowmaps.steering.reward;

import com.google.common.base.Preconditions;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import org.metaflowmaps.models.vision.text.BertTokenizer;
import org.metaflowmaps.models.vision.text.ClipTokenizer;
import org.metaflowmaps.models.vision.text.Tokenizer;

/**
 * The text of rewards by text and image, and the files of the tokenizers, which come with the networks.
 *
 * @param prompt the text
 * @param tokenizer for rewards by CLIP: open_clip's {@code bpe_simple_vocab_16e6.txt.gz}, or a folder with Hugging
 *     Face's {@code vocab.json} and {@code merges.txt}; the two agree for plain English texts
 * @param bertVocabulary for ImageReward: the {@code vocab.txt} of bert-base-uncased
 */
public record TextInputs(Prompt prompt, Optional<Path> tokenizer, Optional<Path> bertVocabulary) {
    private static final String VOCABULARY = "vocab.json";
    private static final String MERGES = "merges.txt";

    /** Checks for null. */
    public TextInputs {
        Preconditions.checkNotNull(prompt, "text inputs: the prompt is null");
        Preconditions.checkNotNull(tokenizer, "text inputs: the tokenizer is null; for none, give Optional.empty()");
        Preconditions.checkNotNull(
                bertVocabulary, "text inputs: the vocabulary of BERT is null; for none, give Optional.empty()");
    }

    /** Opens CLIP's tokenizer. */
    Tokenizer clip(String reward, long context) throws IOException {
        Path file = tokenizer.orElseThrow(() -> new IllegalArgumentException("reward '" + reward
                + "' needs CLIP's tokenizer, and none was given: give bpe_simple_vocab_16e6.txt.gz, or a folder with "
                + VOCABULARY + " and " + MERGES));
        int length = Math.toIntExact(context);
        return Files.isDirectory(file)
                ? ClipTokenizer.huggingFace(file.resolve(VOCABULARY), file.resolve(MERGES), length)
                : ClipTokenizer.openClip(file, length);
    }

    /** Opens BERT's tokenizer. */
    Tokenizer bert(String reward) throws IOException {
        Path file = bertVocabulary.orElseThrow(() -> new IllegalArgumentException("reward '" + reward
                + "' needs the vocabulary of BERT, and none was given: give the vocab.txt of bert-base-uncased"));
        return BertTokenizer.open(file, BertTokenizer.CONTEXT);
    }
}
