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
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Refusal;
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
        int[] ids = ClipTokenizer.huggingFace(file("tiny-vocab.json"), file("tiny-merges.txt"), TINY_CONTEXT)
                .ids("!!<|endoftext|>a<|STARTOFTEXT|>");
        assertArrayEquals(new int[] {599, 320, 598, 599}, Arrays.copyOfRange(ids, ids.length - 4, ids.length));
        // The public vocab.json has the same ids, in the order of the merges.
        Path packed = file("bpe_simple_vocab_16e6.txt.gz");
        List<BytePairs.Pair> merges = VocabularyFile.merges(packed, 48_894);
        Map<String, Integer> numbers = BytePairs.ordered(packed, merges);
        numbers.put("<|startoftext|>", numbers.size());
        numbers.put("<|endoftext|>", numbers.size());
        Path vocabulary = folder.resolve("vocab.json");
        Files.write(vocabulary, JsonMapper.builder().build().writeValueAsBytes(numbers));
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

    @ParameterizedTest
    @CsvSource({
        "'v', it has no merges",
        "'v\na b c', line 2 is 'a b c'",
        "'v\nab', two symbols",
        "'v\n\na b', line 2 is ''",
        "'v\na b\na b', two merges give 'ab'",
        "'v\nzz b', 'zz' has no id"
    })
    void damagedMergesAreRefused(String contents, String expected) throws IOException {
        Path merges = Files.writeString(folder.resolve("merges.txt"), contents.replace("\\n", "\n"));
        Refusal.assertRefused(
                TokenizerFileException.class, () -> ClipTokenizer.openClip(merges, 77), merges.toString(), expected);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "[1] | not a JSON object",
                "{ | not valid JSON",
                "{\"a\": 1, \"a\": 2} | not valid JSON",
                "{\"a\": -1} | token 'a' has id -1",
                "{\"a\": 1.5} | token 'a' has id 1.5",
                "{\"a\": 3, \"b\": 3} | the same id 3",
                "{\"a\": 3} | has no id"
            })
    void damagedIdsAreRefused(String contents, String expected) throws IOException {
        Path vocabulary = Files.writeString(folder.resolve("vocab.json"), contents);
        Path merges = file("tiny-merges.txt");
        Refusal.assertRefused(
                TokenizerFileException.class,
                () -> ClipTokenizer.huggingFace(vocabulary, merges, 77),
                vocabulary.toString(),
                expected);
    }

    @Test
    void damagedFilesAreRefused() throws IOException {
        byte[] packed = bytes("tiny-bpe.txt.gz");
        Path cut = folder.resolve("cut.gz");
        for (int length = 0; length < packed.length; length++) {
            Files.write(cut, Arrays.copyOf(packed, length));
            Refusal.assertRefused(
                    TokenizerFileException.class, () -> ClipTokenizer.openClip(cut, 77), cut.toString(), "expected");
        }
        Files.write(cut, new byte[] {(byte) 0xff, (byte) 0xfe, 'a'});
        Refusal.assertRefused(TokenizerFileException.class, () -> BertTokenizer.open(cut, 35), "not UTF-8");
        Files.writeString(cut, "[CLS]\n[SEP]\n[CLS]\n");
        Refusal.assertRefused(TokenizerFileException.class, () -> BertTokenizer.open(cut, 35), "lines 1 and 3");
        Files.writeString(cut, "[CLS]\n[SEP]\n");
        Refusal.assertRefused(TokenizerFileException.class, () -> BertTokenizer.open(cut, 35), "no line '[PAD]'");
        Path bert = file("tiny-bert-vocab.txt");
        Refusal.illegalArgument("context is 1", () -> BertTokenizer.open(bert, 1));
    }

    /** Long words take no time that grows with their square. */
    @Test
    void longTextsAreCut() throws IOException {
        Tokenizer open = ClipTokenizer.openClip(file("bpe_simple_vocab_16e6.txt.gz"), ClipTokenizer.CONTEXT);
        int[] ids = open.ids("horse ".repeat(100_000));
        assertEquals(ClipTokenizer.CONTEXT, ids.length);
        assertEquals(49407, ids[76]);
        Tokenizer huggingFace = ClipTokenizer.huggingFace(file("tiny-vocab.json"), file("tiny-merges.txt"), 77);
        assertEquals(77, huggingFace.ids("?!".repeat(5000)).length);
        assertEquals(77, huggingFace.ids("<|endoftext|>".repeat(5000)).length);
    }
}
