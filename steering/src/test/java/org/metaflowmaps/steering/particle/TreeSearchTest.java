package org.metaflowmaps.steering.particle;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.util.List;
import java.util.concurrent.CancellationException;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.models.sampler.SamplingListener;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.ExactMixtureMap;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.value.BadScoreException;

final class TreeSearchTest {
    private static final Tilt NEAR = new Tilt(SearchRewards.near(0.4), 1);
    private static final double NEVER = Double.NEGATIVE_INFINITY;

    private static Node[] children(Node parent, boolean areLast, double... scores) {
        Node[] made = new Node[scores.length];
        for (int i = 0; i < made.length; i++) {
            made[i] = new Node(parent, 0, i, scores[i], areLast);
        }
        return made;
    }

    /** The rule on a small tree, computed by hand. */
    @Test
    void leavesAreSelectedByTheUctRule() {
        Node root = new Node(null, 0, 0, NEVER, false);
        assertSame(root, root.leaf(1));
        Node[] first = children(root, false, 7, 3, 5);
        root.expand(first);
        // Two visits; scaled values 1, 0, 0.5 and equal bonuses.
        assertSame(first[0], root.leaf(1));
        // Its own draws are worse than the one it was made from, so its value falls to 4.
        first[0].expand(children(first[0], false, 4, 2, NEVER));
        // Three visits; scaled 0.5, 0, 1, and bonuses √(log 3/2) = 0.74, 1.05, 1.05.
        assertSame(first[2], root.leaf(1));
        first[2].expand(children(first[2], true, 1, 1, 1));
        // Four visits; scaled 1, 0.67, and complete, whatever its value; bonuses 0.83, 1.18: 1.83 against 1.84 for c =
        // 1.
        Node second = root.leaf(0.9);
        assertEquals(2, second.level);
        assertSame(first[1], root.leaf(1));
        assertSame(first[1], root.leaf(2));
    }

    @Test
    void excludedBranchesComeLast() {
        Node root = new Node(null, 0, 0, NEVER, false);
        Node[] first = children(root, false, NEVER, 3, NEVER);
        root.expand(first);
        assertSame(first[1], root.leaf(0));
        Node[] last = children(first[1], true, 3, 3, 3);
        first[1].expand(last);
        assertSame(first[0], root.leaf(0), "the only finite branch is complete");
        first[0].expand(children(first[0], true, NEVER, NEVER, NEVER));
        first[2].expand(children(first[2], true, NEVER, NEVER, NEVER));
        assertTrue(root.isComplete());
    }

    /** Without a limit the tree grows until every node is expanded: 1 + 2 + 4 simulations. */
    @Test
    void aSearchEndsWithACompleteTree() {
        try (TensorScope scope = TensorScope.open();
                ExactMixtureMap map = new ExactMixtureMap()) {
            TreeSearch.Result found = new TreeSearch(map, NEAR, TimeGrid.linspace(0.01, 3), 2)
                    .run(SearchNoise.plane(1, 3), Condition.none(), Budget.NONE, SamplingListener.NONE);
            assertEquals(7, found.simulations());
            assertEquals(2, found.depth());
            assertEquals(7 * 2 * 2, found.spent().evaluations());
            assertEquals(Spent.Ending.COMPLETE, found.spent().ending());
            assertArrayEquals(
                    NEAR.score(found.samples(), Condition.none()).toDoubleArray(),
                    found.scores().toDoubleArray(),
                    1e-12);
        }
    }

    /** An item's result depends on its index alone, though its neighbours' leaves have other times. */
    @Test
    void itemsDoNotDependOnTheirNeighbours() {
        try (TensorScope scope = TensorScope.open();
                MetaFlowMap map = SmallNetworks.transformer()) {
            TreeSearch search = new TreeSearch(map, NEAR, TimeGrid.linspace(0.01, 4), 3);
            Budget budget = Budget.ofEvaluations(6 * 12);
            TreeSearch.Result all = search.run(
                    SearchNoise.of(map.itemShape(), 1, 5, 6, 7),
                    Condition.labelled(Torch.of(new long[] {0, 1, 2})),
                    budget,
                    SamplingListener.NONE);
            assertEquals(12, all.simulations());
            for (int i = 0; i < 3; i++) {
                TreeSearch.Result one = search.run(
                        SearchNoise.of(map.itemShape(), 1, 5 + i),
                        Condition.labelled(Torch.of(new long[] {i})),
                        budget,
                        SamplingListener.NONE);
                assertArrayEquals(
                        one.samples().toFloatArray(), all.samples().select(0, i).toFloatArray(), 1e-5f);
            }
        }
    }

    /** A larger budget continues the same search, so it never returns less; its draws come near the target. */
    @Test
    void moreSimulationsFindMore() {
        try (TensorScope scope = TensorScope.open();
                ExactMixtureMap map = new ExactMixtureMap()) {
            TreeSearch search = new TreeSearch(map, NEAR, TimeGrid.linspace(0.01, 5), 4);
            double[] before = null;
            for (int simulations : new int[] {1, 5, 40}) {
                double[] scores = search.run(
                                SearchNoise.plane(1, 6),
                                Condition.none(),
                                Budget.ofEvaluations(8L * simulations + 7),
                                SamplingListener.NONE)
                        .scores()
                        .toDoubleArray();
                for (int i = 0; before != null && i < scores.length; i++) {
                    assertTrue(scores[i] >= before[i], scores[i] + " after " + before[i]);
                }
                before = scores;
            }
            assertTrue(before != null && java.util.Arrays.stream(before).min().orElseThrow() > -0.1);
        }
    }

    @Test
    void budgetsAndListenersEndTheSearchWithWhatItHas() {
        try (TensorScope scope = TensorScope.open();
                ExactMixtureMap map = new ExactMixtureMap()) {
            TreeSearch search = new TreeSearch(map, NEAR, TimeGrid.linspace(0.01, 5), 4);
            SearchNoise.Heard two = new SearchNoise.Heard(2);
            TreeSearch.Result cancelled =
                    search.run(SearchNoise.plane(1, 2), Condition.none(), Budget.ofEvaluations(85), two);
            assertEquals(2, cancelled.simulations());
            assertEquals(16, cancelled.spent().evaluations());
            assertEquals(Spent.Ending.CANCELLED, cancelled.spent().ending());
            assertEquals(List.of("1/10", "2/10"), two.calls);
            TreeSearch.Result timed = search.run(
                    SearchNoise.plane(1, 2), Condition.none(), Budget.ofSeconds(1e-9), SamplingListener.NONE);
            assertEquals(1, timed.simulations());
            Clock clock = new Clock(2);
            assertEquals(
                    4,
                    search.run(SearchNoise.plane(1, 2), Condition.none(), Budget.ofSeconds(7), clock, clock)
                            .simulations());
            assertEquals(Spent.Ending.BUDGET, timed.spent().ending());
            long before = NativeMemory.liveTensors();
            assertThrows(
                    CancellationException.class,
                    () -> search.run(SearchNoise.plane(1, 2), Condition.none(), Budget.NONE, new SearchNoise.Heard(0)));
            assertEquals(before, NativeMemory.liveTensors());
        }
    }

    @Test
    void badScoresAndSettingsAreRefused() {
        try (TensorScope scope = TensorScope.open();
                ExactMixtureMap map = new ExactMixtureMap()) {
            TimeGrid grid = TimeGrid.linspace(0.01, 3);
            Tilt bad = new Tilt(SearchRewards.of(x -> x.select(1, 0).mul(Double.NaN)), 1);
            assertRefused(
                    BadScoreException.class,
                    () -> new TreeSearch(map, bad, grid, 2)
                            .run(
                                    SearchNoise.plane(1, 2),
                                    Condition.none(),
                                    Budget.ofEvaluations(40),
                                    SamplingListener.NONE),
                    "NaN at step 0 for item 0");
            // Excludes one of three modes.
            Tilt part = new Tilt(
                    SearchRewards.of(
                            x -> x.select(1, 0).maskedFill(x.select(1, 0).lt(-1.5), NEVER)),
                    1);
            for (double score : new TreeSearch(map, part, grid, 4)
                    .run(SearchNoise.plane(1, 3), Condition.none(), Budget.NONE, SamplingListener.NONE)
                    .scores()
                    .toDoubleArray()) {
                assertTrue(score >= -1.5, "score " + score);
            }
            assertRefused(() -> new TreeSearch(map, NEAR, grid, 0), "width is 0");
            assertRefused(() -> new TreeSearch(map, NEAR, grid, 2, -1), "exploration constant is -1.0");
            assertRefused(() -> new TreeSearch(map, NEAR.withStrength(-2), grid, 2), "lambda is -2.0");
            assertRefused(
                    () -> new TreeSearch(map, NEAR, grid, 2)
                            .run(
                                    SearchNoise.plane(1, 1),
                                    Condition.none(),
                                    Budget.ofEvaluations(3),
                                    SamplingListener.NONE),
                    "the budget is 3 evaluations, but the first step costs 4");
        }
    }
}
