package org.metaflowmaps.models.drift;

import com.google.common.base.Preconditions;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * Classifier-free guidance of a drift: b_∅ + w·(b_y - b_∅), both evaluated without amortised guidance (method §3.4).
 *
 * @param drift evaluated with each item's label and without labels
 * @param classes the label that means "no label"
 * @param builtIn ω, the model guidance of the drift's training, removed before w is applied: b_y ← (1-ω)·b_y + ω·b_∅. 0
 *     for a plain network ("sit" in the public code), 0.6 for the public DMF weights ("dmf")
 */
public record GuidedDrift(Drift drift, int classes, double builtIn) implements Drift {
    /** Tolerance for scales written with few digits. */
    private static final double SAME_SCALE = 1e-3;

    /** Checks the ranges. */
    public GuidedDrift {
        Preconditions.checkArgument(
                classes > 0,
                "guided drift: %s classes, expected at least 1: without labels there is no guidance",
                classes);
        Preconditions.checkArgument(
                builtIn >= 0 && builtIn < 1, "guided drift: built-in guidance is %s, expected 0 to below 1", builtIn);
    }

    /**
     * Returns guidance with one scale for labelled items and 1 for others, as in training. At the scale 1/(1-ω) of its
     * training it returns the drift itself, evaluated once.
     *
     * @param scale w of every labelled item
     * @return a drift that ignores guidance scales in that case, else uses them like {@link #at}
     */
    public static Drift ofScale(Drift drift, int classes, double builtIn, double scale) {
        GuidedDrift guided = new GuidedDrift(drift, classes, builtIn);
        return isBuiltIn(scale, builtIn)
                ? (time, state, condition) -> drift.at(time, state, condition.withoutGuidance())
                : guided;
    }

    /** Returns true if a scale is 1/(1-ω), up to rounding to a few digits. */
    public static boolean isBuiltIn(double scale, double builtIn) {
        return Math.abs(scale * (1 - builtIn) - 1) <= SAME_SCALE;
    }

    @Override
    public Tensor at(Tensor time, Tensor state, Condition condition) {
        // Without labels both terms are equal, and at scale 1 only the label's term remains.
        Tensor guidance = condition.guidance().orElse(null);
        if (!isGuided(condition)) {
            return drift.at(time, state, condition.withoutGuidance());
        }
        try (TensorScope scope = TensorScope.open()) {
            Tensor none = drift.at(time, state, Condition.unlabelled(classes, state.size(0), state.device()));
            Tensor change = drift.at(time, state, condition.withoutGuidance()).sub(none);
            Tensor undone = builtIn == 0 ? change : change.mul(1 - builtIn);
            return scope.keep(none.add(guidance == null ? undone : undone.mul(MetaFlowMap.perItem(guidance, undone))));
        }
    }

    private boolean isGuided(Condition condition) {
        return condition.labels().isPresent() && (condition.guidance().isPresent() || builtIn != 0);
    }

    @Override
    public int evaluations(Condition condition) {
        return (isGuided(condition) ? 2 : 1) * drift.evaluations(condition.withoutGuidance());
    }
}
