package org.metaflowmaps.models.layer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Close;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/** Attention compared with loops in plain Java, and the gate of joint attention. */
final class AttentionTest {
    private static final int BATCH = 2;
    private static final int TOKENS = 3;
    private static final int SEEN = 4;
    private static final int HEADS = 2;
    private static final int WIDTH = 4;
    private static final int HEAD = WIDTH / HEADS;

    private static ParameterArena weights(boolean norms, RandomSource random) {
        Map<String, Shape> shapes = new LinkedHashMap<>(Map.of(
                "qkv.weight",
                Shape.of(3 * WIDTH, WIDTH),
                "qkv.bias",
                Shape.of(3 * WIDTH),
                "kv_cond.weight",
                Shape.of(2 * WIDTH, WIDTH),
                "kv_cond.bias",
                Shape.of(2 * WIDTH),
                "proj.weight",
                Shape.of(WIDTH, WIDTH),
                "proj.bias",
                Shape.of(WIDTH)));
        if (norms) {
            shapes.putAll(Map.of(
                    "q_norm.scale",
                    Shape.of(HEAD),
                    "k_norm.scale",
                    Shape.of(HEAD),
                    "k_cond_norm.scale",
                    Shape.of(HEAD)));
        }
        ParameterArena arena = new ParameterArena(shapes, Device.CPU);
        try (Autograd.Mode off = Autograd.noGrad()) {
            arena.values().copy_(random.normal(arena.values().shape()));
        }
        return arena;
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void isThatOfTheFormula(boolean norms) {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(2);
                ParameterArena arena = weights(norms, random)) {
            Weights weights = new Weights(arena, "");
            Tensor tokens = random.normal(BATCH, TOKENS, WIDTH);
            Tensor seen = random.normal(BATCH, SEEN, WIDTH);
            Tensor gate = random.normal(BATCH, 1, HEADS, HEAD);
            double[] alone = Attention.of(HEADS, weights)
                    .forward(Dual.constant(tokens))
                    .primal()
                    .toDoubleArray();
            double[] joint = Attention.joint(HEADS, weights)
                    .forward(Dual.constant(tokens), Dual.constant(seen), Dual.constant(gate))
                    .primal()
                    .toDoubleArray();
            Plain plain = new Plain(arena, norms);
            for (int item = 0; item < BATCH; item++) {
                double[][] own = rows(tokens, item, TOKENS);
                assertArrayEquals(plain.attend(own, new double[0][], new double[WIDTH]), part(alone, item), 1e-5);
                assertArrayEquals(
                        plain.attend(own, rows(seen, item, SEEN), rows(gate.reshape(BATCH, 1, WIDTH), item, 1)[0]),
                        part(joint, item),
                        1e-5);
            }
        }
    }

    private static double[] part(double[] all, int item) {
        return Arrays.copyOfRange(all, item * TOKENS * WIDTH, (item + 1) * TOKENS * WIDTH);
    }

    private static double[][] rows(Tensor tokens, int item, int count) {
        double[] all = tokens.toDoubleArray();
        double[][] rows = new double[count][WIDTH];
        for (int i = 0; i < count; i++) {
            System.arraycopy(all, (item * count + i) * WIDTH, rows[i], 0, WIDTH);
        }
        return rows;
    }

    /** The formula, one item at a time, in double. */
    private record Plain(ParameterArena arena, boolean norms) {
        private double[] linear(String name, double[] input) {
            double[] weight = arena.get(name + ".weight").toDoubleArray();
            double[] output = arena.get(name + ".bias").toDoubleArray();
            for (int i = 0; i < output.length; i++) {
                for (int j = 0; j < input.length; j++) {
                    output[i] += weight[i * input.length + j] * input[j];
                }
            }
            return output;
        }

        /** Returns a head's slice of a projection, normalised by the root of its mean square if a norm is given. */
        private double[] head(double[] projected, int part, int head, String norm) {
            double[] slice =
                    Arrays.copyOfRange(projected, part * WIDTH + head * HEAD, part * WIDTH + (head + 1) * HEAD);
            if (norms && !norm.isEmpty()) {
                double[] gain = arena.get(norm + ".scale").toDoubleArray();
                double square = Arrays.stream(slice).map(x -> x * x).sum() / HEAD;
                for (int i = 0; i < HEAD; i++) {
                    slice[i] *= gain[i] / Math.sqrt(square + 1e-6);
                }
            }
            return slice;
        }

        double[] attend(double[][] tokens, double[][] seen, double[] gate) {
            double[] result = new double[tokens.length * WIDTH];
            for (int i = 0; i < tokens.length; i++) {
                double[] mixed = new double[WIDTH];
                for (int h = 0; h < HEADS; h++) {
                    double[] query = head(linear("qkv", tokens[i]), 0, h, "q_norm");
                    double total = 0;
                    for (int j = 0; j < tokens.length + seen.length; j++) {
                        boolean own = j < tokens.length;
                        double[] projected =
                                own ? linear("qkv", tokens[j]) : linear("kv_cond", seen[j - tokens.length]);
                        double[] key = own ? head(projected, 1, h, "k_norm") : head(projected, 0, h, "k_cond_norm");
                        double[] value = head(projected, own ? 2 : 1, h, "");
                        double score = 0;
                        for (int k = 0; k < HEAD; k++) {
                            score += query[k] * key[k] / Math.sqrt(HEAD);
                        }
                        total += Math.exp(score);
                        for (int k = 0; k < HEAD; k++) {
                            mixed[h * HEAD + k] += Math.exp(score) * value[k] * (own ? 1 : gate[h * HEAD + k]);
                        }
                    }
                    for (int k = 0; k < HEAD; k++) {
                        mixed[h * HEAD + k] /= total;
                    }
                }
                System.arraycopy(linear("proj", mixed), 0, result, i * WIDTH, WIDTH);
            }
            return result;
        }
    }

    /**
     * If keys ignore the context and its tokens are multiplied by 0 at the input, it enters only by a block's values,
     * and the seventh chunk of the modulation gates them.
     */
    @Test
    void seventhChunkOfTheModulationGatesTheContextsValues() {
        TransformerConfig config = SmallNetworks.config(SmallNetworks.Option.JOINT);
        int width = config.hiddenSize();
        try (FlowMapTransformer map = SmallNetworks.transformer(config);
                TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(3);
                Autograd.Mode off = Autograd.noGrad()) {
            map.parameters().get("x_cond_adaLN.1.weight").zero_();
            map.parameters()
                    .get("x_cond_adaLN.1.bias")
                    .zero_()
                    .narrow(0, width, width)
                    .fill_(-1);
            for (int i = 0; i < config.depth(); i++) {
                String block = "blocks." + i + ".";
                map.parameters()
                        .get(block + "joint_attn.kv_cond.weight")
                        .narrow(0, 0, width)
                        .zero_();
                gate(map, block, width, 0);
            }
            Context context = SmallNetworks.context(map, random);
            Tensor time = context.time();
            Tensor state = SmallNetworks.items(map, random);
            Context other = new Context(time, context.state().flip(2), context.condition());
            assertArrayEquals(
                    map.averageVelocity(time, time, state, context).toFloatArray(),
                    map.averageVelocity(time, time, state, other).toFloatArray());
            gate(map, "blocks.1.", width, 1);
            double apart = Close.farthest(
                    map.averageVelocity(time, time, state, context), map.averageVelocity(time, time, state, other));
            assertTrue(apart > 1e-3, "the context does not come in: " + apart);
        }
    }

    private static void gate(FlowMapTransformer map, String block, int width, double value) {
        map.parameters()
                .get(block + "adaLN_modulation.1.weight")
                .narrow(0, 6L * width, width)
                .zero_();
        map.parameters()
                .get(block + "adaLN_modulation.1.bias")
                .narrow(0, 6L * width, width)
                .fill_(value);
    }
}
