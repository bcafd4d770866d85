package org.metaflowmaps.steering.finetune;

import com.google.common.base.Preconditions;

/**
 * The settings of the regression of a student's drift v with weights e^{λr-k} (method §9.1).
 *
 * @param form the regression
 * @param variance a constant σ² of the reward's gradient, as in the public code, which does not learn the Doob tilt
 *     (method §14, row 1); 0 for the exact 2(1 - t)/t, clamped at 2000
 * @param guidance amortised guidance scale w of student and base for labelled items; 1 for none
 * @param drawGuidance the same for the posterior draws
 * @param trust κ of the trust region κ·‖v - b‖², which pulls to the base drift: the optimum becomes b + (b* - b)·m/(m +
 *     κ), where m is the mean weight at (t, x), about 1; 0 for none
 * @param weightClip largest weight; 0 for no bound. Clipping moves the optimum towards the base
 * @param anneal steps over which the strength λ grows linearly to the tilt's; 0 for none
 * @param window window of a class's running shift k, in items, at least 1
 * @param labelDrop share of items that lose their label
 * @param timeMean mean of the normal number whose logistic function is t
 * @param timeDeviation its standard deviation; 0 for t uniform in [0, 1)
 */
public record FineTuneLoss(
        Form form,
        double variance,
        double guidance,
        double drawGuidance,
        double trust,
        double weightClip,
        long anneal,
        long window,
        double labelDrop,
        double timeMean,
        double timeDeviation) {
    /** The public code's σ². */
    static final double PAPER_VARIANCE = 200;

    /**
     * The regressions. All except {@link #REWARD_WEIGHTED} use a new posterior draw Φ at each state, so the states may
     * have any law.
     */
    public enum Form {
        /** ‖v - T‖² with T = b - (e^{λr-k} - 1)(v - b) + (σ²/2)·∇e^{λr-k}, with T detached (paper Eq. 43). */
        SEMI_GRADIENT(true),
        /** e^{λr-k}·‖v - b - (σ²/2)·∇λr‖², which has the same gradient. */
        WEIGHTED(true),
        /** e^{λr-k}·‖v - (Φ - x)/(1 - t)‖², for rewards without gradients. */
        GRADIENT_FREE(false),
        /** e^{λr(I_1)-k}·‖v - (I_1 - I_0)‖²: needs no meta flow map, but states made from the scored data. */
        REWARD_WEIGHTED(false);

        private final boolean gradient;

        Form(boolean gradient) {
            this.gradient = gradient;
        }

        /** Returns true if the reward must be differentiable. */
        public boolean needsGradient() {
            return gradient;
        }
    }

    /** Checks the ranges. */
    public FineTuneLoss {
        Preconditions.checkNotNull(form, "fine-tuning: the form is null");
        require(variance >= 0 && Double.isFinite(variance), "variance is %s, expected 0 (exact) or more", variance);
        require(guidance > 0 && Double.isFinite(guidance), "guidance is %s, expected a scale above 0", guidance);
        require(
                drawGuidance > 0 && Double.isFinite(drawGuidance),
                "guidance of draws is %s, expected a scale above 0",
                drawGuidance);
        require(trust >= 0 && Double.isFinite(trust), "trust is %s, expected 0 (none) or more", trust);
        require(
                weightClip >= 0 && Double.isFinite(weightClip),
                "weight clip is %s, expected 0 (no bound) or more",
                weightClip);
        require(anneal >= 0, "anneal is %s steps, expected 0 (none) or more", anneal);
        require(window >= 1, "window is %s items, expected at least 1", window);
        require(labelDrop >= 0 && labelDrop <= 1, "label drop is %s, expected 0 to 1", labelDrop);
        require(Double.isFinite(timeMean), "the time law's mean is %s, expected a finite number", timeMean);
        require(
                timeDeviation >= 0 && Double.isFinite(timeDeviation),
                "the time law's deviation is %s, expected 0 (uniform) or more",
                timeDeviation);
    }

    private static void require(boolean holds, String template, Object value) {
        Preconditions.checkArgument(holds, "fine-tuning: " + template, value);
    }

    /** Returns a builder of the exact loss, in the weighted form and without guidance. */
    public static Builder builder() {
        return new Builder();
    }

    /** Returns a builder with these settings. */
    public Builder toBuilder() {
        return new Builder()
                .form(form)
                .variance(variance)
                .guidance(guidance, drawGuidance)
                .trust(trust)
                .weightClip(weightClip)
                .anneal(anneal)
                .window(window)
                .labelDrop(labelDrop)
                .times(timeMean, timeDeviation);
    }

    /**
     * Returns the exact loss: σ² = 2(1 - t)/t, one guidance scale for student, base and draws.
     *
     * @param guidance w; 1 for none
     */
    public static FineTuneLoss exact(double guidance) {
        return builder().guidance(guidance, guidance).build();
    }

    /**
     * Returns the public code's loss: σ² = 200, and guidance only for the draws.
     *
     * @param guidance w of the draws, 2.5 in the public code
     */
    public static FineTuneLoss paper(double guidance) {
        return builder()
                .form(Form.SEMI_GRADIENT)
                .variance(PAPER_VARIANCE)
                .guidance(1, guidance)
                .build();
    }

    /** A builder; settings have their defaults at first. */
    public static final class Builder {
        private Form form = Form.WEIGHTED;
        private double variance;
        private double guidance = 1;
        private double drawGuidance = 1;
        private double trust;
        private double weightClip;
        private long anneal;
        private long window = 1000;
        private double labelDrop;
        private double timeMean;
        private double timeDeviation;

        private Builder() {}

        /** Sets the regression. */
        public Builder form(Form form) {
            this.form = form;
            return this;
        }

        /** Sets σ² of the reward's gradient; 0 for the exact one. */
        public Builder variance(double variance) {
            this.variance = variance;
            return this;
        }

        /** Sets the guidance scales of student and base, and of the posterior draws. */
        public Builder guidance(double drifts, double draws) {
            this.guidance = drifts;
            this.drawGuidance = draws;
            return this;
        }

        /** Sets κ of the trust region; 0 for none. */
        public Builder trust(double trust) {
            this.trust = trust;
            return this;
        }

        /** Sets the largest weight; 0 for no bound. */
        public Builder weightClip(double weightClip) {
            this.weightClip = weightClip;
            return this;
        }

        /** Sets the steps over which the strength grows. */
        public Builder anneal(long anneal) {
            this.anneal = anneal;
            return this;
        }

        /** Sets the window of the shifts, in items of a class. */
        public Builder window(long window) {
            this.window = window;
            return this;
        }

        /** Sets the share of items that lose their label. */
        public Builder labelDrop(double labelDrop) {
            this.labelDrop = labelDrop;
            return this;
        }

        /** Sets mean and deviation of the normal number whose logistic function is t; deviation 0 for uniform t. */
        public Builder times(double mean, double deviation) {
            this.timeMean = mean;
            this.timeDeviation = deviation;
            return this;
        }

        /**
         * Returns the settings.
         *
         * @throws IllegalArgumentException if one is out of range
         */
        public FineTuneLoss build() {
            return new FineTuneLoss(
                    form,
                    variance,
                    guidance,
                    drawGuidance,
                    trust,
                    weightClip,
                    anneal,
                    window,
                    labelDrop,
                    timeMean,
                    timeDeviation);
        }
    }
}
