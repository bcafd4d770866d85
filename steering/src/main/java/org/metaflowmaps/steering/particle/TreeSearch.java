package org.metaflowmaps.steering.particle;

import com.google.common.base.Preconditions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CancellationException;
import java.util.function.LongSupplier;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.InputValues;
import org.metaflowmaps.models.model.LinearInterpolant;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.SamplingListener;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.steering.value.BadScoreException;
import org.metaflowmaps.steering.value.ScoreGuard;
import org.metaflowmaps.steering.value.SteeringNoise;
import org.metaflowmaps.steering.value.SteeringNoise.Use;

/**
 * Maximises a reward by a tree search over posterior draws, which can return to branches that {@link GreedySearch} gives
 * up. A node is a time of the grid and a noisy state. A simulation goes from the root to a leaf by the UCT rule (Kocsis
 * and Szepesvári, 2006), draws a few one-step posterior samples there, scores them, and noises each again to the next
 * time, as the leaf's children.
 *
 * <p>A node's value is the largest score of a draw from its own posterior or below it; before its first visit, the score
 * of the draw it was made from. The maximum is backed up, not the mean, because the search returns the best draw.
 * A node's children are compared after their values are scaled to [0, 1] among themselves, so that neither an offset nor
 * the scale of the reward matters.
 *
 * <p>Several items are searched at once, each in its own tree; the leaves of all items are evaluated in one call of the
 * network. The trees are in Java's memory: each simulation reads the scores back. Device memory grows by
 * {@code width} states per item and simulation.
 *
 * <p>Thread safety: immutable; several threads may search at once, each with its own noise.
 *
 * @param map makes the draws; not owned
 * @param tilt scores them. Its strength λ must be above 0 and has no other effect
 * @param grid the times of the tree's levels, the root's first; its number of steps is the depth. A few levels suffice,
 *     because values at early times differ little
 * @param width draws and children of each node, at least 1
 * @param exploration the UCT rule's constant, 0 or more: a child's bonus is this times √(log visits of the node / visits
 *     of the child)
 */
public record TreeSearch(MetaFlowMap map, Tilt tilt, TimeGrid grid, int width, double exploration) {
    /** The constant for which the rule's regret bound was proved. */
    public static final double UCT = Math.sqrt(2);

    private static final String WHAT = "tree search";

    /** More would not fit the keys of the noise, nor most memories. */
    private static final int MOST_SIMULATIONS = 1 << 20;

    /**
     * The best draw of each item, in the scope that was innermost when they were searched.
     *
     * @param samples (items, item shape)
     * @param scores r of {@code samples}, without λ: (items), float64
     * @param simulations of each item
     * @param depth the deepest level, from 0, at which draws were made for any item
     * @param spent the cost per item
     */
    public record Result(Tensor samples, Tensor scores, int simulations, int depth, Spent spent) {}

    /** Checks the ranges. */
    public TreeSearch {
        Preconditions.checkArgument(
                map.isContextual(),
                "%s: this map works without contexts and has no posteriors: use one of layout meta-flow-map",
                WHAT);
        Preconditions.checkArgument(
                tilt.strength() > 0,
                "%s: lambda is %s, expected more than 0, because the search maximises the reward; to minimise it, give "
                        + "its negative",
                WHAT,
                tilt.strength());
        Preconditions.checkNotNull(grid, "%s: the grid is null", WHAT);
        Preconditions.checkArgument(width >= 1, "%s: width is %s, expected at least 1 child", WHAT, width);
        Preconditions.checkArgument(
                exploration >= 0 && Double.isFinite(exploration),
                "%s: the exploration constant is %s, expected a finite number of at least 0",
                WHAT,
                exploration);
    }

    /** Searches with √2 as exploration constant. */
    public TreeSearch(MetaFlowMap map, Tilt tilt, TimeGrid grid, int width) {
        this(map, tilt, grid, width, UCT);
    }

    /** Returns the evaluations per item of one simulation: the draws and their scores. */
    public long evaluations() {
        return 2L * width;
    }

    /**
     * Searches for each item of the noise until the budget is spent or each tree is complete.
     *
     * @param noise of the items, with one particle each
     * @param condition labels and guidance scales of the items, one for each
     * @param budget decides the number of simulations, at most 2²⁰
     * @param listener called after every simulation; if it cancels, the result has the best draws so far
     * @return tensors in the innermost open scope, without a gradient graph
     * @throws CancellationException if the listener cancels before the first simulation
     * @throws IllegalArgumentException if shapes, types, devices, labels or scales do not fit, or if the first
     *     simulation exceeds the budget
     * @throws BadScoreException if a score was NaN or positive infinity
     */
    public Result run(SteeringNoise noise, Condition condition, Budget budget, SamplingListener listener) {
        return run(noise, condition, budget, listener, System::nanoTime);
    }

    Result run(SteeringNoise noise, Condition condition, Budget budget, SamplingListener listener, LongSupplier clock) {
        Meter meter = new Meter(WHAT, budget, listener, clock);
        condition.guidance().ifPresent(scales -> InputValues.requireFinite("guidance", scales));
        condition.labels().ifPresent(labels -> InputValues.requireLabels(labels, map.classes()));
        int planned = (int) Math.min(MOST_SIMULATIONS, Math.max(1, budget.evaluations() / evaluations()));
        try (TensorScope scope = TensorScope.open();
                ScoreGuard guard = new ScoreGuard();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor start = noise.normal(Use.START, 0);
            int items = Math.toIntExact(Meter.items(WHAT, noise, start, 1, condition));
            Forest forest = new Forest(scope, start, condition.repeatInterleave(width), noise, guard);
            int done = 0;
            while (done < MOST_SIMULATIONS && !forest.isComplete() && meter.take(evaluations())) {
                forest.simulate(done, items);
                done++;
                listener.stepDone(done, planned);
            }
            return new Result(scope.keep(forest.samples), scope.keep(forest.best), done, forest.depth, meter.spent());
        }
    }

    /** The trees of all items, and their states on the device. */
    private final class Forest {
        private final TensorScope scope;
        private final Condition rows;
        private final SteeringNoise noise;
        private final ScoreGuard guard;
        private final Node[] roots;
        /** The states of all nodes: first those of the roots, (items, item shape), then those of each simulation's children, (items · width, item shape). */
        private final List<Tensor> states = new ArrayList<>();

        private final Tensor samples;
        private final Tensor best;
        private int depth;

        Forest(TensorScope scope, Tensor start, Condition rows, SteeringNoise noise, ScoreGuard guard) {
            this.scope = scope;
            this.rows = rows;
            this.noise = noise;
            this.guard = guard;
            this.samples = Torch.zerosLike(start);
            this.best = Torch.full(Double.NEGATIVE_INFINITY, DType.FLOAT64, start.device(), start.size(0));
            this.roots = new Node[Math.toIntExact(start.size(0))];
            for (int item = 0; item < roots.length; item++) {
                roots[item] = new Node(null, 0, item, Double.NEGATIVE_INFINITY, false);
            }
            states.add(start);
        }

        /** All trees grow by one node at a time, so all are complete at once. */
        boolean isComplete() {
            return roots[0].isComplete();
        }

        /** Grows each tree by the children of one leaf. */
        void simulate(int simulation, int items) {
            Node[] leaves = new Node[items];
            Arrays.setAll(leaves, item -> roots[item].leaf(exploration));
            try (TensorScope inner = TensorScope.open()) {
                Tensor at = gather(leaves).repeatInterleave(width, 0);
                Tensor here = times(leaves, 0, at);
                Tensor drawn = map.flowMap(
                        Torch.zerosLike(here),
                        Torch.onesLike(here),
                        numbers(Use.DRAW, simulation, at),
                        Context.unchecked(here, at, rows));
                Tensor scores = tilt.score(drawn, rows).to(DType.FLOAT64).reshape(items, width);
                guard.record(tilt, simulation, noise, scores);
                guard.check();
                keepBest(drawn, scores, simulation == 0);
                Tensor next =
                        LinearInterpolant.state(numbers(Use.TRANSITION, simulation, at), drawn, times(leaves, 1, at));
                states.add(inner.keep(next));
                grow(leaves, scores.toDoubleArray());
            }
            scope.keep(states.getLast());
        }

        private void grow(Node[] leaves, double[] scores) {
            for (int item = 0; item < leaves.length; item++) {
                Node leaf = leaves[item];
                depth = Math.max(depth, leaf.level);
                boolean areLast = leaf.level + 1 == grid.steps();
                Node[] children = new Node[width];
                for (int i = 0; i < width; i++) {
                    int row = item * width + i;
                    children[i] = new Node(leaf, states.size() - 1, row, scores[row], areLast);
                }
                leaf.expand(children);
            }
        }

        /** Returns the leaves' states: (items, item shape). */
        private Tensor gather(Node[] leaves) {
            Tensor[] picked = new Tensor[leaves.length];
            Arrays.setAll(picked, item -> states.get(leaves[item].tensor).select(0, leaves[item].row));
            return Torch.stack(0, picked);
        }

        /** Returns the time of each row's leaf, or of its children for {@code below} 1: (items · width). */
        private Tensor times(Node[] leaves, int below, Tensor like) {
            double[] times = new double[leaves.length];
            Arrays.setAll(times, item -> grid.time(leaves[item].level + below));
            return Torch.of(times, times.length)
                    .to(like.dtype())
                    .to(like.device())
                    .repeatInterleave(width, 0);
        }

        private Tensor numbers(Use use, int simulation, Tensor like) {
            return noise.normal(use, simulation, 0, width).reshape(like.shape());
        }

        private void keepBest(Tensor drawn, Tensor scores, boolean isFirst) {
            Tensor top = scores.argmax(1).unsqueeze(1);
            Tensor candidates = drawn.indexSelect(0, GreedySearch.flat(top, width));
            Tensor score = scores.gather(1, top).squeeze(1);
            if (isFirst) {
                samples.copy_(candidates);
                best.copy_(score);
                return;
            }
            samples.copy_(Torch.where(MetaFlowMap.perItem(score.gt(best), samples), candidates, samples));
            best.copy_(best.maximum(score));
        }
    }
}
