package org.metaflowmaps.models.vision.text;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.TensorScope;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * Compares with ids of open_clip 3.3.0, tokenizers 0.22.2 and transformers 4.57.6 for 142 strings ({@code tokens.json}).
 */
final class TokenizerTest {
    private static final String BERT_SHA_256 = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3";
    private static final int TINY_CONTEXT = 24;

    @TempDir
    private Path folder = Path.of("");

    private static byte[] bytes(String name) throws IOException {
        try (InputStream in = TokenizerTest.class.getResourceAsStream(name)) {
            return Objects.requireNonNull(in, name).readAllBytes();
        }
    }

    private Path file(String name) throws IOException {
        return Files.write(folder.resolve(name), bytes(name));
    }

    private static void assertReference(String name, Tokenizer tokenizer) throws IOException {
        JsonNode strings =
                JsonMapper.builder().build().readTree(bytes("tokens.json")).get("strings");
        assertEquals(142, strings.size());
        List<String> wrong = new ArrayList<>();
        for (JsonNode entry : strings) {
            String text = entry.get("text").stringValue();
            List<Integer> expected =
                    entry.get(name).valueStream().map(JsonNode::intValue).toList();
            List<Integer> ids = Arrays.stream(tokenizer.ids(text)).boxed().toList();
            if (!ids.equals(expected)) {
                wrong.add(text + ": " + ids + ", expected " + expected);
            }
        }
        assertEquals(List.of(), wrong);
    }

    @Test
    void openClipsIds() throws IOException {
        assertReference(
                "clip_open", ClipTokenizer.openClip(file("bpe_simple_vocab_16e6.txt.gz"), ClipTokenizer.CONTEXT));
        assertReference("clip_open_tiny", ClipTokenizer.openClip(file("tiny-bpe.txt.gz"), TINY_CONTEXT));
    }

    @Test
    void huggingFacesClipIds() throws IOException {
        assertReference(
                "clip_hf_tiny",
                ClipTokenizer.huggingFace(file("tiny-vocab.json"), file("tiny-merges.txt"), TINY_CONTEXT));
        // The public vocab.json has the same ids, in the order of the merges.
        Path packed = file("bpe_simple_vocab_16e6.txt.gz");
        List<BytePairs.Pair> merges = VocabularyFile.merges(packed, 48_894);
        Map<String, Integer> ids = BytePairs.ordered(packed, merges);
        ids.put("<|startoftext|>", ids.size());
        ids.put("<|endoftext|>", ids.size());
        Path vocabulary = folder.resolve("vocab.json");
        Files.write(vocabulary, JsonMapper.builder().build().writeValueAsBytes(ids));
        List<String> lines = new ArrayList<>(List.of("#version: 0.2"));
        merges.forEach(merge -> lines.add(merge.left() + " " + merge.right()));
        Path list = Files.write(folder.resolve("merges.txt"), lines);
        assertReference("clip_hf", ClipTokenizer.huggingFace(vocabulary, list, ClipTokenizer.CONTEXT));
    }

    @Test
    void bertsIds() throws IOException {
        assertReference("bert_tiny", BertTokenizer.open(file("tiny-bert-vocab.txt"), BertTokenizer.CONTEXT));
    }

    /** With {@code -Dorg.metaflowmaps.bert=…/vocab.txt}, the public vocabulary of bert-base-uncased. */
    @Test
    void bertsIdsWithThePublicVocabulary() throws IOException, NoSuchAlgorithmException {
        String given = System.getProperty("org.metaflowmaps.bert", "");
        assumeTrue(!given.isEmpty(), "set org.metaflowmaps.bert to vocab.txt of bert-base-uncased to run this");
        Path vocabulary = Path.of(given);
        String sum =
                HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(Files.readAllBytes(vocabulary)));
        assertEquals(BERT_SHA_256, sum, "the file is not vocab.txt of bert-base-uncased");
        BertTokenizer tokenizer = BertTokenizer.open(vocabulary, BertTokenizer.CONTEXT);
        assertEquals(30_524, tokenizer.size());
        assertReference("bert", tokenizer);
    }

    @Test
    void batchesArePadded() throws IOException {
        Tokenizer open = ClipTokenizer.openClip(file("tiny-bpe.txt.gz"), 6);
        Tokenizer huggingFace = ClipTokenizer.huggingFace(file("tiny-vocab.json"), file("tiny-merges.txt"), 6);
        try (TensorScope scope = TensorScope.open()) {
            TokenBatch batch = open.batch(List.of("", "a!", "a a a a a a a a a"));
            assertEquals(Shape.of(3, 6), batch.ids().shape());
            assertEquals(DType.INT64, batch.ids().dtype());
            long[] ids = batch.ids().toLongArray();
            assertArrayEquals(new long[] {598, 599, 0, 0, 0, 0}, Arrays.copyOf(ids, 6));
            assertArrayEquals(
                    new long[] {1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1},
                    batch.mask().toLongArray());
            assertEquals(599, ids[17]);
            assertEquals(
                    599, huggingFace.batch(List.of("")).ids().toLongArray()[5], "Hugging Face pads with the end token");
            assertTrue(scope.size() > 0);
        }
    }

    /** Long words take no time that grows with their square. */
    @Test
    void longTextsAreCut() throws IOException {
        Tokenizer open = ClipTokenizer.openClip(file("bpe_simple_vocab_16e6.txt.gz"), ClipTokenizer.CONTEXT);
        int[] ids = open.ids("horse ".repeat(100_000));
        assertEquals(ClipTokenizer.CONTEXT, ids.length);
        assertEquals(49407, ids[76]);
    }
}
