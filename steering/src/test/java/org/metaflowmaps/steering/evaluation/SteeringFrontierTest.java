package org.metaflowmaps.steering.evaluation;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.reward.ImageClassifier;

/** The study with a tiny random map of 4 x 4 pixels, and classifiers of three classes. */
final class SteeringFrontierTest {
    private static final List<FrontierCell> CELLS = List.of(
            new FrontierCell(FrontierMethod.BASE, 1),
            new FrontierCell(FrontierMethod.MFM_G, 2),
            new FrontierCell(FrontierMethod.MFM_G_RESCALED, 1),
            new FrontierCell(FrontierMethod.MFM_GF, 3),
            new FrontierCell(FrontierMethod.DPS, 1),
            new FrontierCell(FrontierMethod.SEARCH, 2),
            new FrontierCell(FrontierMethod.TREE, 3),
            new FrontierCell(FrontierMethod.SMC, 4),
            new FrontierCell(FrontierMethod.BEST_OF, 1),
            new FrontierCell(FrontierMethod.BEST_OF, 50));

    /** Two parts of the pool, the second one smaller. */
    private static final int POOL = 300;

    private static final MetaFlowMap MAP =
            SmallNetworks.transformer(SmallNetworks.transformerConfig(4, 2, 1, 8, 2, 2, 3));

    @TempDir
    private Path folder;

    @AfterAll
    static void close() {
        MAP.close();
    }

    private static FrontierSettings settings(long seed) {
        return new FrontierSettings(5, 3, 1.5, 2, POOL, List.of(1.0, 0.0, 3.0), seed, "tiny", "test");
    }

    /** Classifies by the sums of some pixels, times a factor. */
    private static ImageClassifier classifier(double factor) {
        return images -> {
            Tensor rows = images.reshape(images.size(0), -1).mul(factor);
            Tensor first = rows.narrow(1, 0, 5).sumKeepDim(1);
            Tensor second = rows.narrow(1, 5, 5).sumKeepDim(1);
            return Torch.cat(1, first, second, rows.narrow(1, 10, 6).sumKeepDim(1));
        };
    }

    private List<FrontierResult> run(String name, long seed, int rows, List<FrontierCell> cells) {
        return run(name, seed, rows, cells, result -> {});
    }

    private List<FrontierResult> run(
            String name, long seed, int rows, List<FrontierCell> cells, SteeringFrontier.Listener listener) {
        try (FrontierFile file = FrontierFile.open(folder.resolve(name), settings(seed));
                SteeringFrontier study =
                        new SteeringFrontier(MAP, classifier(2), classifier(1.5), file, Device.CPU, rows)) {
            return study.run(cells, listener);
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    private static FrontierResult timeless(FrontierResult result) {
        return new FrontierResult(
                result.cell(),
                result.evaluations(),
                new FrontierResult.Time(0, 0),
                result.reward(),
                result.judge(),
                result.agreement(),
                result.distance(),
                result.corrected(),
                result.diversity(),
                result.histogram());
    }

    private static List<FrontierResult> timeless(List<FrontierResult> results) {
        return results.stream().map(SteeringFrontierTest::timeless).toList();
    }

    @Test
    void evaluationsAreCountedAsInThePaper() {
        long live = NativeMemory.liveTensors();
        Map<FrontierCell, Long> counted = run("study.jsonl", 1, 64, CELLS).stream()
                .collect(Collectors.toMap(FrontierResult::cell, FrontierResult::evaluations));
        assertEquals(live, NativeMemory.liveTensors());
        assertEquals(3, counted.getOrDefault(CELLS.get(0), -1L));
        assertEquals(3 + 4 * 2 * 3, counted.getOrDefault(CELLS.get(1), -1L));
        assertEquals(3 + 4 * 3, counted.getOrDefault(CELLS.get(2), -1L));
        assertEquals(3 + 2 * 3 * 3, counted.getOrDefault(CELLS.get(3), -1L));
        assertEquals(4 * 3, counted.getOrDefault(CELLS.get(4), -1L));
        assertEquals(2 * 2 * 2 * 3, counted.getOrDefault(CELLS.get(5), -1L));
        assertEquals(2 * 2 * 3, counted.getOrDefault(CELLS.get(6), -1L));
        // Each particle and step: two draws with their rewards, and the transition's draw; then the final reward.
        assertEquals(4 * (3 * (2 * 2 + 1) + 1), counted.getOrDefault(CELLS.get(7), -1L));
        assertEquals(4, counted.getOrDefault(CELLS.get(8), -1L));
        assertEquals(50 * 4, counted.getOrDefault(CELLS.get(9), -1L));
    }

    @Test
    void theBatchAndTheOtherCellsDoNotChangeResults() {
        List<FrontierResult> all = run("all.jsonl", 1, 1000, CELLS);
        List<FrontierResult> single = new ArrayList<>();
        for (FrontierCell cell : CELLS.reversed()) {
            single.addFirst(run("one-" + cell + ".jsonl", 1, 7, List.of(cell)).getFirst());
        }
        for (int i = 0; i < all.size(); i++) {
            FrontierResult expected = all.get(i);
            FrontierResult found = single.get(i);
            assertEquals(expected.cell(), found.cell());
            assertEquals(expected.evaluations(), found.evaluations());
            assertEquals(expected.reward().value(), found.reward().value(), 1e-5);
            assertEquals(expected.judge().value(), found.judge().value(), 1e-5);
            assertEquals(expected.reward().error(), found.reward().error(), 1e-5);
            assertEquals(expected.diversity().value(), found.diversity().value(), 1e-5);
            assertEquals(expected.histogram(), found.histogram());
        }
        assertNotEquals(
                all.getFirst().reward(),
                run("seed.jsonl", 2, 1000, CELLS.subList(0, 1)).getFirst().reward());
    }

    @Test
    void aKilledStudyContinuesWithTheMissingCells() throws IOException {
        List<FrontierResult> whole = run("killed.jsonl", 1, 64, CELLS);
        Path file = folder.resolve("killed.jsonl");
        List<String> lines = Files.readAllLines(file);
        assertEquals(1 + 2 + CELLS.size(), lines.size());
        // Killed in the pool's second part, and in the sixth result.
        for (int kept : List.of(2, 8)) {
            String torn = lines.get(kept).substring(0, lines.get(kept).length() / 2);
            Files.writeString(file, String.join("\n", lines.subList(0, kept)) + "\n" + torn);
            Set<Integer> pooled = new TreeSet<>();
            List<FrontierResult> again = run("killed.jsonl", 1, 64, CELLS, new SteeringFrontier.Listener() {
                @Override
                public void finished(FrontierResult result) {
                    // Only the pool's parts are of interest.
                }

                @Override
                public void pooled(int done, int all) {
                    pooled.add(done);
                }
            });
            assertEquals(kept == 2 ? Set.of(POOL) : Set.of(), pooled);
            assertEquals(timeless(whole), timeless(again));
            // Finished cells have their old times, so they were not drawn again.
            int finished = Math.max(0, kept - 3);
            assertEquals(whole.subList(0, finished), again.subList(0, finished));
            assertEquals(lines.subList(0, kept), Files.readAllLines(file).subList(0, kept));
            assertEquals(lines.size(), Files.readAllLines(file).size());
        }
        Files.writeString(file, lines.getFirst().substring(0, 20));
        assertEquals(timeless(whole), timeless(run("killed.jsonl", 1, 64, CELLS)));
    }

    private static String message(Class<? extends Throwable> type, Executable call) {
        return String.valueOf(assertThrows(type, call).getMessage());
    }

    @Test
    void otherSettingsAndDamagedLinesAreRefused() throws IOException {
        run("study.jsonl", 1, 64, CELLS.subList(4, 5));
        Path file = folder.resolve("study.jsonl");
        String other = message(IOException.class, () -> FrontierFile.open(file, settings(2)));
        assertTrue(other.contains("seed 1, given 2"), other);
        assertTrue(other.contains("another folder"), other);
        List<String> lines = new ArrayList<>(Files.readAllLines(file));
        lines.add(1, "{\"result\":{\"cell\":");
        Files.write(file, lines);
        String damaged = message(IOException.class, () -> FrontierFile.open(file, settings(1)));
        assertTrue(damaged.contains("line 2"), damaged);
        for (String foreign : List.of("{\"step\":1}\n{\"step\":2}\n", "{\"step\":1}", "text")) {
            Files.writeString(file, foreign);
            assertThrows(IOException.class, () -> FrontierFile.open(file, settings(1)));
            assertEquals(foreign, Files.readString(file));
        }
    }

    @Test
    void twoStudiesDoNotWriteOneFile() throws IOException {
        Path file = folder.resolve("study.jsonl");
        try (FrontierFile first = FrontierFile.open(file, settings(1))) {
            String busy = message(IOException.class, () -> FrontierFile.open(file, first.settings()));
            assertTrue(busy.contains("in use"), busy);
        }
        FrontierFile.open(file, settings(1)).close();
    }

    @Test
    void bestOfMoreThanThePoolIsRefusedAtOnce() {
        String refused = message(
                IllegalArgumentException.class,
                () -> run("study.jsonl", 1, 64, List.of(new FrontierCell(FrontierMethod.BEST_OF, POOL + 1))));
        assertTrue(refused.contains("best of 301 from a pool of 300"), refused);
        assertThrows(IllegalArgumentException.class, () -> new FrontierCell(FrontierMethod.DPS, 2));
        assertThrows(IllegalArgumentException.class, () -> new FrontierCell(FrontierMethod.MFM_G, 0));
    }
}
