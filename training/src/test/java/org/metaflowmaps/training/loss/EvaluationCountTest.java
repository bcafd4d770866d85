package org.metaflowmaps.training.loss;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.drift.Glass;
import org.metaflowmaps.models.drift.GuidedDrift;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Close;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.training.config.LossConfig.ConsistencyKind;
import org.metaflowmaps.training.loss.Lagrangian.Through;

/** Compares the number of each loss's network evaluations with the table in docs/losses.md. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class EvaluationCountTest {
    private static final String HEAD = "| loss | velocity | with gradient | without | tangents | teacher or average |";

    private final Counted map = new Counted(SmallNetworks.mlp(SmallNetworks.mlpConfig(2, 8, 1, 3)));
    private final Counted other = new Counted(SmallNetworks.mlp(SmallNetworks.mlpConfig(2, 8, 1, 3)));
    private final Velocity.Data data = new Velocity.Data();
    private final Velocity.Guided guided = new Velocity.Guided(0);
    private final Velocity.Taught taught = new Velocity.Taught(new Glass(new NetworkDrift(other)));

    @AfterAll
    void close() {
        map.close();
        other.close();
    }

    @BeforeEach
    void forget() {
        map.forget();
        other.forget();
    }

    /** A network that counts its runs. */
    private static final class Counted implements MetaFlowMap {
        private final MetaFlowMap network;
        private int recorded;
        private int silent;
        private int tangents;

        Counted(MetaFlowMap network) {
            this.network = network;
        }

        void forget() {
            recorded = 0;
            silent = 0;
            tangents = 0;
        }

        @Override
        public Dual averageVelocity(Dual start, Dual end, Dual state, Context context) {
            if (Autograd.isRecording()) {
                recorded++;
            } else {
                silent++;
            }
            tangents += start.tangent() != null || end.tangent() != null || state.tangent() != null ? 1 : 0;
            return network.averageVelocity(start, end, state, context);
        }

        @Override
        public Shape itemShape() {
            return network.itemShape();
        }

        @Override
        public int classes() {
            return network.classes();
        }

        @Override
        public ParameterArena parameters() {
            return network.parameters();
        }

        @Override
        public void close() {
            network.close();
        }
    }

    @FunctionalInterface
    private interface Loss {
        Regression of(Pair pair);
    }

    /** Every loss with every velocity of different cost, by the table's first two columns. */
    private Map<String, Loss> losses() {
        Map<String, Loss> losses = new LinkedHashMap<>();
        for (Map.Entry<String, Velocity> velocity : Map.<String, Velocity>of(
                        "data", data, "guided", guided, "teacher", taught)
                .entrySet()) {
            losses.put("diagonal | " + velocity.getKey(), pair -> Diagonal.of(map, pair, velocity.getValue()));
            put(losses, "mean-flow | " + velocity.getKey(), new Eulerian(velocity.getValue()));
            put(losses, "improved-mean-flow | " + velocity.getKey(), new ImprovedMeanFlow(velocity.getValue()));
            put(losses, "alpha-flow, 0 < α < 1 | " + velocity.getKey(), Example.alphaFlow(velocity.getValue(), 0.3));
        }
        put(losses, "alpha-flow, α = 1 | data", Example.alphaFlow(data, 1));
        put(losses, "alpha-flow, α = 1 | guided", Example.alphaFlow(guided, 1));
        put(losses, "alpha-flow, α = 0 | data", Example.alphaFlow(data, 0));
        put(losses, "semigroup | -", new Semigroup(null));
        put(losses, "semigroup, averaged | -", new Semigroup(other));
        put(losses, "psd | -", new Progressive(null));
        put(losses, "psd, averaged | -", new Progressive(other));
        put(losses, "shortcut | -", new Shortcut(null, 0));
        put(losses, "shortcut, averaged | -", new Shortcut(other, 4));
        put(losses, "eulerian | -", new Eulerian(new Velocity.Own()));
        put(losses, "eulerian-teacher | -", new Eulerian(taught));
        put(losses, "lagrangian, through derivative | -", new Lagrangian(new Velocity.Own(), Through.DERIVATIVE));
        put(losses, "lagrangian, through average | -", new Lagrangian(new Velocity.Own(), Through.AVERAGE));
        put(losses, "lagrangian, through velocity | -", new Lagrangian(new Velocity.Own(), Through.VELOCITY));
        put(losses, "lagrangian-teacher, through derivative | -", new Lagrangian(taught, Through.DERIVATIVE));
        put(losses, "lagrangian-teacher, through average | -", new Lagrangian(taught, Through.AVERAGE));
        put(losses, "terminal-velocity | -", new TerminalVelocity(other));
        return losses;
    }

    private void put(Map<String, Loss> losses, String name, Consistency loss) {
        losses.put(name, pair -> loss.of(map, pair));
    }

    private static Map<String, String> table() throws IOException {
        List<String> lines = Files.readAllLines(Path.of("..", "docs", "losses.md"));
        Map<String, String> rows = new LinkedHashMap<>();
        for (String line : lines.subList(lines.indexOf(HEAD) + 2, lines.size())) {
            if (!line.startsWith("| ")) {
                break;
            }
            int counts = line.indexOf('|', line.indexOf('|', 1) + 1);
            rows.put(line.substring(2, counts).strip(), line.substring(counts));
        }
        return rows;
    }

    @Test
    void everyLossRunsTheNetworkAsOftenAsTheTableSays() throws IOException {
        Map<String, String> counted = new LinkedHashMap<>();
        losses().forEach((name, loss) -> {
            try (TensorScope scope = TensorScope.open()) {
                forget();
                loss.of(Example.random(map, 1).pair());
                assertEquals(
                        0, other.recorded + other.tangents, name + ": a teacher or an average is not differentiated");
                counted.put(
                        name, "| %d | %d | %d | %d |".formatted(map.recorded, map.silent, map.tangents, other.silent));
            }
        });
        assertEquals(table(), counted);
    }

    /** A new loss needs a row in the table. */
    @Test
    void theTableHasEveryLoss() throws IOException {
        Set<String> named = new HashSet<>();
        table().keySet().forEach(row -> named.add(row.replaceFirst("(,| \\|).*", "")));
        for (ConsistencyKind kind : ConsistencyKind.values()) {
            String name = kind.name().toLowerCase(Locale.ROOT).replace('_', '-');
            assertTrue(kind == ConsistencyKind.NONE || named.contains(name), name + " has no row in " + named);
        }
    }

    /** One evaluation at the network's built-in scale, else two; the results are equal. */
    @ParameterizedTest
    @CsvSource({"0.6, 2.5, 1", "0.3, 1.4286, 1", "0, 1, 1", "0.6, 2, 2", "0.6, 1, 2", "0, 2.5, 2"})
    void guidanceAtTheScaleInsideIsOneRun(double builtIn, double scale, int runs) {
        try (TensorScope scope = TensorScope.open()) {
            Example at = Example.random(map, 2);
            Tensor labels = Torch.of(new long[] {0, 3, 2});
            Tensor scales = Torch.of(new float[] {(float) scale, 1, (float) scale});
            Drift drift = new NetworkDrift(map);
            Tensor expected = new GuidedDrift(drift, 3, builtIn)
                    .at(at.start(), at.noise(), Condition.labelled(labels).guided(scales));
            forget();
            Tensor actual = GuidedDrift.ofScale(drift, 3, builtIn, scale)
                    .at(at.start(), at.noise(), Condition.labelled(labels).guided(scales));
            assertEquals(runs, map.recorded);
            Close.assertClose(expected, actual, 1e-4, "guided drift");
        }
    }

    @Test
    void plainItemsNeedNoSecondRun() {
        try (TensorScope scope = TensorScope.open()) {
            Example at = Example.random(map, 3);
            Tensor labels = Torch.of(new long[] {0, 3, 2});
            Drift drift = new NetworkDrift(map);
            Tensor expected = drift.at(at.start(), at.noise(), Condition.labelled(labels));
            forget();
            Tensor actual = new GuidedDrift(drift, 3, 0).at(at.start(), at.noise(), Condition.labelled(labels));
            new GuidedDrift(drift, 3, 0.6).at(at.start(), at.noise(), Condition.none());
            assertEquals(2, map.recorded);
            Close.assertClose(expected, actual, 1e-6, "without a scale");
        }
    }
}
