package org.metaflowmaps.models.layer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

final class EmbeddingsTest {
    /** A kernel that selects the entries of a patch in the head's order (row, column, channel). */
    @Test
    void unpatchPutsBackWhatPatchesTookApart() {
        int channels = 3;
        int patch = 2;
        int grid = 3;
        int entries = channels * patch * patch;
        float[] kernel = new float[entries * entries];
        for (int c = 0; c < channels; c++) {
            for (int y = 0; y < patch; y++) {
                for (int x = 0; x < patch; x++) {
                    int output = (y * patch + x) * channels + c;
                    kernel[output * entries + (c * patch + y) * patch + x] = 1;
                }
            }
        }
        Map<String, Shape> shapes =
                Map.of("proj.weight", Shape.of(entries, channels, patch, patch), "proj.bias", Shape.of(entries));
        try (ParameterArena arena = new ParameterArena(shapes, Device.CPU);
                TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(1);
                Autograd.Mode off = Autograd.noGrad()) {
            arena.get("proj.weight").copy_(Torch.of(kernel, entries, channels, patch, patch));
            Tensor image = random.normal(2, channels, 6, 6);
            Dual tokens = new PatchEmbedding(patch, new Weights(arena, "")).forward(Dual.constant(image));
            assertEquals(Shape.of(2, 9, entries), tokens.primal().shape());
            // Token 5 of a 3 × 3 grid is the patch at row 1, column 2.
            assertArrayEquals(
                    image.narrow(2, 2, 2)
                            .narrow(3, 4, 2)
                            .permute(0, 2, 3, 1)
                            .reshape(2, entries)
                            .toFloatArray(),
                    tokens.primal().select(1, 5).toFloatArray());
            assertArrayEquals(
                    image.toFloatArray(),
                    Embeddings.unpatch(tokens, grid, patch, channels).primal().toFloatArray());
        }
    }

    @Test
    void positionsEncodeTheColumnInTheFirstHalfAndTheRowInTheSecond() {
        int grid = 5;
        int width = 12;
        float[] table = Embeddings.positions(grid, width);
        assertEquals(grid * grid * width, table.length);
        for (int token = 0; token < grid * grid; token++) {
            for (int k = 0; k < width; k++) {
                // In the first half all rows are equal, in the second all columns; both use the same code.
                int column = token % grid;
                int row = token / grid;
                int coded = k < width / 2 ? column : row;
                int rate = k % (width / 4);
                double angle = coded / Math.pow(10_000, rate / (width / 4.0));
                double expected = k % (width / 2) < width / 4 ? Math.sin(angle) : Math.cos(angle);
                assertEquals(expected, table[token * width + k], 1e-6, "token " + token + ", entry " + k);
            }
        }
    }

    @Test
    void timesEnterAsCosinesThenSines() {
        Map<String, Shape> shapes = Map.of(
                "mlp.0.weight",
                Shape.of(256, 256),
                "mlp.0.bias",
                Shape.of(256),
                "mlp.2.weight",
                Shape.of(256, 256),
                "mlp.2.bias",
                Shape.of(256));
        try (ParameterArena arena = new ParameterArena(shapes, Device.CPU);
                TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor identity =
                    Torch.arange(256).unsqueeze(1).eq(Torch.arange(256).unsqueeze(0));
            arena.get("mlp.0.weight").copy_(identity);
            arena.get("mlp.2.weight").copy_(identity);
            Tensor frequencies = Embeddings.frequencies(Device.CPU);
            double[] values = new TimeEmbedding(frequencies, new Weights(arena, ""))
                    .forward(Dual.constant(Torch.of(new float[] {0.7f})))
                    .primal()
                    .toDoubleArray();
            for (int i = 0; i < 128; i++) {
                double phase = 0.7 * Math.pow(10_000, -i / 128.0);
                assertEquals(silu(Math.cos(phase)), values[i], 1e-6);
                assertEquals(silu(Math.sin(phase)), values[128 + i], 1e-6);
            }
        }
    }

    private static double silu(double x) {
        return x / (1 + Math.exp(-x));
    }

    @Test
    void guidanceIsTheRowOfTheNearestAllowedScale() {
        List<Double> allowed = List.of(1.0, 4.0, 2.5);
        try (ParameterArena arena = table(6);
                TensorScope scope = TensorScope.open()) {
            GuidanceEmbedding layer = new GuidanceEmbedding(allowed, new Weights(arena, ""));
            float[] scales = {-3, 1, 1.7f, 1.75f, 1.76f, 2.5f, 3.24f, 3.25f, 3.26f, 4, 100};
            // Halfway between two scales the lower one is used.
            float[] rows = {0, 0, 0, 0, 2, 2, 2, 2, 1, 1, 1};
            assertArrayEquals(rows, rows(layer, Torch.of(scales)));
            for (int i = 0; i < scales.length; i++) {
                double chosen = allowed.get((int) rows[i]);
                for (double other : allowed) {
                    assertTrue(Math.abs(chosen - scales[i]) <= Math.abs(other - scales[i]) + 1e-6);
                }
            }
            assertArrayEquals(
                    new float[] {0, 0},
                    layer.forward(Optional.empty(), 2).primal().toFloatArray());
            assertArrayEquals(
                    new float[] {0},
                    rows(new GuidanceEmbedding(List.of(1.0), new Weights(arena, "")), Torch.of(new float[] {9})));
        }
    }

    private static float[] rows(GuidanceEmbedding layer, Tensor scales) {
        return layer.forward(Optional.of(scales), scales.size(0)).primal().toFloatArray();
    }

    /** A table of one column whose entries are the numbers of their rows. */
    private static ParameterArena table(int rows) {
        ParameterArena arena = new ParameterArena(Map.of("embedding_table.weight", Shape.of(rows, 1)), Device.CPU);
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            arena.get("embedding_table.weight").copy_(Torch.arange(rows).unsqueeze(1));
        }
        return arena;
    }

    @Test
    void itemsWithoutALabelHaveTheLastRow() {
        try (ParameterArena arena = table(4);
                TensorScope scope = TensorScope.open()) {
            LabelEmbedding layer = new LabelEmbedding(3, new Weights(arena, ""));
            assertArrayEquals(
                    new float[] {2, 3, 0},
                    layer.forward(Optional.of(Torch.of(new long[] {2, 3, 0})), 3)
                            .primal()
                            .toFloatArray());
            assertArrayEquals(
                    new float[] {3, 3},
                    layer.forward(Optional.empty(), 2).primal().toFloatArray());
        }
    }

    /**
     * With context scales the table has a row for each pair, each list starting with 1; the context's scale here is 1.
     */
    @Test
    void contextScalesHaveRowsOfTheirOwn() {
        TransformerConfig config = SmallNetworks.config(SmallNetworks.Option.CONTEXT_SCALES);
        try (FlowMapTransformer map = SmallNetworks.transformer(config);
                TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(4);
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor table = map.parameters().get("guidance_embedder.embedding_table.weight");
            assertEquals((1 + 1) * (1 + 2), table.size(0));
            Context context = SmallNetworks.context(map, random);
            Tensor state = SmallNetworks.items(map, random);
            float[] before = map.averageVelocity(context.time(), context.time(), state, context)
                    .toFloatArray();
            table.narrow(0, 2, 4).fill_(5);
            assertArrayEquals(
                    before,
                    map.averageVelocity(context.time(), context.time(), state, context)
                            .toFloatArray());
            table.narrow(0, 1, 1).fill_(5);
            float[] after = map.averageVelocity(context.time(), context.time(), state, context)
                    .toFloatArray();
            int item = before.length / SmallNetworks.BATCH;
            assertEquals(before[0], after[0]);
            assertNotEquals(before[item], after[item]);
        }
    }
}
