package org.metaflowmaps.steering.reward;

import com.google.common.base.Preconditions;
import java.util.Arrays;
import java.util.List;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorException;
import org.metaflowmaps.runtime.TensorScope;

/**
 * Checks a new reward on two samples, because a reward that breaks a rule of {@link Reward} gives wrong results without
 * an error.
 */
public final class RewardProbe {
    private static final int CALLS = 3;
    private static final double RELATIVE = 1e-4;
    private static final double RELATIVE_HALF = 1e-2;
    /**
     * Scores near 0 are compared up to float32's rounding of numbers of size 1, because they may result from
     * cancellation.
     */
    private static final double ABSOLUTE = 1e-6;

    private final Reward reward;
    private final Tensor pair;
    private final Condition condition;

    private RewardProbe(Reward reward, Tensor pair, Condition condition) {
        this.reward = reward;
        this.pair = pair;
        this.condition = condition;
    }

    /**
     * Checks that scores have the shape (N) and the samples' type and device; that none is NaN or +∞; that two items
     * together score as each alone within 1e-4 of the larger one (1e-2 in half precision or under autocast), or the
     * reward's {@link Reward#rounding}; that three
     * calls give equal scores; that samples are not changed; and that the reward has a gradient graph, with finite
     * gradients, if it says so.
     *
     * @param reward the reward to check
     * @param samples two or more different items in the reward's form: decoded images in [0, 1], or states. The first
     *     two are used
     * @param condition of the samples
     * @throws RewardException if a rule is broken; the message names the reward and the rule
     * @throws IllegalArgumentException if the samples are of the wrong kind
     */
    public static void check(Reward reward, Tensor samples, Condition condition) {
        Preconditions.checkArgument(
                samples.dim() >= 2 && samples.size(0) >= 2 && samples.dtype().isFloatingPoint(),
                "probe of reward %s: samples are %s, expected two items or more of floating point",
                reward.name(),
                samples);
        try (TensorScope scope = TensorScope.open()) {
            Tensor pair = samples.narrow(0, 0, 2).detach().clone();
            if (!reward.takesStates()) {
                requireImages(reward, pair);
            }
            RewardProbe probe = new RewardProbe(reward, pair, condition.slice(0, 2));
            probe.scores();
            if (reward.isDifferentiable()) {
                probe.gradient();
            }
        }
    }

    private static void requireImages(Reward reward, Tensor images) {
        Checks.images(reward.name(), images);
        double least = images.min().item();
        double most = images.max().item();
        Preconditions.checkArgument(
                least >= 0 && most <= 1,
                "probe of reward %s: images are in [%s, %s], expected [0, 1]: decode states first, by a PixelDecoder",
                reward.name(),
                least,
                most);
    }

    private void scores() {
        double[] before = pair.toDoubleArray();
        double[] together = scores("of two items", pair, condition);
        for (int call = 1; call < CALLS; call++) {
            double[] again = scores("of two items", pair, condition);
            require(
                    Arrays.equals(together, again),
                    "equal on three calls",
                    "it returned " + Arrays.toString(together) + " and then " + Arrays.toString(again)
                            + " for the same samples: put it into evaluation mode, without dropout or random numbers");
        }
        require(
                Arrays.equals(before, pair.toDoubleArray()),
                "samples stay as they are",
                "it changed its input in place: compute on a copy");
        for (int i = 0; i < 2; i++) {
            double alone = scores("of one item", pair.narrow(0, i, 1), condition.slice(i, 1))[0];
            require(
                    close(together[i], alone, Math.max(size(together[0]), size(together[1]))),
                    "each item by itself",
                    "item " + i + " scores " + together[i] + " together with another, and " + alone
                            + " alone: compute nothing over the batch, such as a mean or batch normalisation");
        }
    }

    private static double size(double score) {
        return Double.isInfinite(score) ? 0 : Math.abs(score);
    }

    private boolean close(double together, double alone, double size) {
        DType type = pair.dtype();
        boolean half = type == DType.BFLOAT16
                || type == DType.FLOAT16
                || Autocast.isOn(pair.device().type());
        return together == alone
                || Math.abs(together - alone)
                        <= (half ? RELATIVE_HALF : RELATIVE) * size + ABSOLUTE + reward.rounding();
    }

    private double[] scores(String what, Tensor samples, Condition of) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor scores = scored(samples, of);
            long items = samples.size(0);
            require(
                    scores.dim() == 1
                            && scores.size(0) == items
                            && scores.dtype() == samples.dtype()
                            && scores.device().equals(samples.device()),
                    "one score for each item",
                    "it returned " + scores + " " + what + " " + samples + ", expected shape [" + items
                            + "] of that type and device");
            double[] values = scores.toDoubleArray();
            for (double value : values) {
                require(
                        value < Double.POSITIVE_INFINITY,
                        "no NaN and no +infinity",
                        "it returned " + Arrays.toString(values) + ": only finite scores and -infinity are allowed"
                                + (reward.diagnosis().isEmpty() ? "" : ". " + reward.diagnosis()));
            }
            return values;
        }
    }

    private Tensor scored(Tensor samples, Condition of) {
        try {
            return reward.score(samples, of);
        } catch (RuntimeException e) {
            throw new RewardException("reward '" + reward.name() + "' failed on " + samples + ": " + e.getMessage(), e);
        }
    }

    private void gradient() {
        String rule = "a gradient, since isDifferentiable() is true";
        String cure =
                ": let isDifferentiable() return false, or compute only with operations of Tensor and Torch, without"
                        + " detach() or noGrad()";
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode on = Autograd.enableGrad()) {
            Tensor input = pair.clone().requiresGrad_(true);
            Tensor scores = scored(input, condition);
            require(scores.requiresGrad(), rule, "its scores have no gradient graph" + cure);
            double[] values = scores.toDoubleArray();
            Tensor gradient = gradient(scores, input, rule, cure);
            for (int i = 0; i < 2; i++) {
                require(
                        Double.isInfinite(values[i])
                                || gradient.select(0, i).isFinite().all().item() != 0,
                        rule,
                        "the gradient of item " + i + ", which scores " + values[i]
                                + ", has NaN or infinity: look for a root or a logarithm at 0");
            }
        }
    }

    private Tensor gradient(Tensor scores, Tensor input, String rule, String cure) {
        try {
            return Autograd.gradients(scores.sum(), List.of(input)).getFirst();
        } catch (TensorException e) {
            throw new RewardException(
                    fault(rule, "its gradient graph does not reach the samples" + cure) + " (" + e.getMessage() + ")",
                    e);
        }
    }

    private void require(boolean holds, String rule, String fault) {
        if (!holds) {
            throw new RewardException(fault(rule, fault));
        }
    }

    private String fault(String rule, String fault) {
        return "reward '" + reward.name() + "' breaks the rule \"" + rule + "\": " + fault;
    }
}
