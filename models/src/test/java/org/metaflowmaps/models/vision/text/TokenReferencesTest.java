package org.metaflowmaps.models.vision.text;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class TokenReferencesTest {
    private static final List<String> FILES = List.of(
            "tokens.json",
            "bpe_simple_vocab_16e6.txt.gz",
            "tiny-bpe.txt.gz",
            "tiny-vocab.json",
            "tiny-merges.txt",
            "tiny-bert-vocab.txt");

    @TempDir
    private Path folder = Path.of("");

    @BeforeEach
    void copy() throws IOException {
        Files.createDirectory(folder.resolve("tokenizers"));
        for (String name : FILES) {
            try (InputStream in = TokenReferencesTest.class.getResourceAsStream(name)) {
                Files.copy(Objects.requireNonNull(in, name), file(name));
            }
        }
    }

    private Path file(String name) {
        return folder.resolve("tokenizers").resolve(name);
    }

    @Test
    void everyTokenizerWithAVocabularyIsCompared() throws IOException {
        Path found = TokenReferences.find(folder).orElseThrow();
        assertTrue(TokenReferences.isFor(found));
        List<TokenReferences.Outcome> outcomes = TokenReferences.run(found, name -> true);
        assertEquals(
                List.of("clip_open", "clip_hf", "clip_open_tiny", "clip_hf_tiny", "bert_tiny", "bert"),
                outcomes.stream().map(TokenReferences.Outcome::name).toList());
        for (TokenReferences.Outcome outcome : outcomes) {
            boolean here = !outcome.name().equals("bert");
            assertEquals(here ? 142 : 0, outcome.texts(), outcome.toString());
            assertEquals(0, outcome.wrong(), outcome.toString());
            assertTrue(outcome.note().contains(here ? "142 texts" : "needs vocab.txt"), outcome.toString());
        }
    }

    @Test
    void otherIdsAndFilesAreNamed() throws IOException {
        Path tokens = file("tokens.json");
        Files.writeString(tokens, """
            {"contexts": {"clip_tiny": 24}, "strings": [
            {"text": "", "clip_open_tiny": [598, 599], "clip_hf_tiny": [598, 599], "own": [1]},
            {"text": "a b", "clip_open_tiny": [598, 1, 599]}]}
            """);
        Files.delete(file("tiny-merges.txt"));
        List<TokenReferences.Outcome> outcomes = TokenReferences.run(tokens, name -> true);
        assertEquals(
                List.of(1, 0, 0),
                outcomes.stream().map(TokenReferences.Outcome::wrong).toList());
        assertEquals(
                List.of(2, 0, 0),
                outcomes.stream().map(TokenReferences.Outcome::texts).toList());
        assertTrue(outcomes.get(0).note().startsWith("'a b' gives [598, "), outcomes.toString());
        assertTrue(outcomes.get(1).note().contains("needs tiny-merges.txt"), outcomes.toString());
        assertEquals("there is no such tokenizer", outcomes.get(2).note());
        assertEquals(1, TokenReferences.run(tokens, "own"::equals).size());
    }

    @Test
    void aVocabularyWithAnotherSumIsNotBerts() throws IOException {
        Files.copy(file("tiny-bert-vocab.txt"), file("vocab.txt"));
        TokenReferences.Outcome bert =
                TokenReferences.run(file("tokens.json"), "bert"::equals).getFirst();
        assertEquals(0, bert.texts());
        assertTrue(bert.note().contains("is not that of bert-base-uncased"), bert.toString());
    }

    @Test
    void damagedFilesAreRefused() throws IOException {
        Path tokens = file("tokens.json");
        for (String text : List.of("", "[]", "{}", "{\"strings\": [{\"text\": \"a\"}]}")) {
            Files.writeString(tokens, text);
            assertRefused(IOException.class, () -> TokenReferences.run(tokens, name -> true), "tokens.json");
        }
        Files.delete(tokens);
        assertEquals(Optional.empty(), TokenReferences.find(folder));
    }
}
