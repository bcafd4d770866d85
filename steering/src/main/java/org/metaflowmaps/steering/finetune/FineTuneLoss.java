package org.metaflowmaps.steering.finetune;

import com.google.common.base.Preconditions;

/**
 * What a student's drift v is regressed on, and with which weights e^{λr-k} (method §9.1).
 *
 * @param form the regression
 * @param variance σ² of the reward's gradient where it is one number, as in the public code, which then learns no Doob tilt
 *     (method §14, row 1); 0 for the exact 2(1 - t)/t, whose half is at most 1000
 * @param guidance amortised guidance scale w of student and base for labelled items; 1 for none
 * @param drawGuidance the same of the posterior draws
 * @param trust κ of the trust region κ·‖v - b‖², which pulls to the base drift: with κ the zero is at
 *     b + (b* - b)·m/(m + κ), m the mean weight at (t, x), about 1; 0 for none
 * @param weightClip largest weight; 0 for no bound. A bound that is met moves the zero towards the base
 * @param anneal steps over which the strength λ grows in a straight line to the tilt's; 0 for none
 * @param window items of a class that its shift k remembers, at least 1
 * @param labelDrop share of items without their label
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

    /** The regressions. All but {@link #REWARD_WEIGHTED} learn from a fresh posterior draw Φ at each state, wherever that is from. */
    public enum Form {
        /** ‖v - T‖² with T = b - (e^{λr-k} - 1)(v - b) + (σ²/2)·∇e^{λr-k}, which is stopped (paper Eq. 43). */
        SEMI_GRADIENT(true),
        /** e^{λr-k}·‖v - b - (σ²/2)·∇λr‖², which has the same gradient. */
        WEIGHTED(true),
        /** e^{λr-k}·‖v - (Φ - x)/(1 - t)‖², for rewards without gradients. */
        GRADIENT_FREE(false),
        /** e^{λr(I_1)-k}·‖v - (I_1 - I_0)‖²: needs no meta flow map, but data that state and reward share. */
        REWARD_WEIGHTED(false);

        private final boolean gradient;

        Form(boolean gradient) {
            this.gradient = gradient;
        }

        /** Returns true if the reward has to be differentiable. */
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

    /** Returns a builder of the exact loss, in the weighted form and with no guidance. */
    public static Builder builder() {
        return new Builder();
    }

    /** Returns a builder that begins with these settings. */
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
     * The exact loss: σ² = 2(1 - t)/t, one guidance scale for student, base and draws.
     *
     * @param guidance w; 1 for none
     */
    public static FineTuneLoss exact(double guidance) {
        return builder().guidance(guidance, guidance).build();
    }

    /**
     * The public code's loss: σ² = 200, and the guidance scale for the draws alone.
     *
     * @param guidance w of the draws, 2.5 there
     */
    public static FineTuneLoss paper(double guidance) {
        return builder()
                .form(Form.SEMI_GRADIENT)
                .variance(PAPER_VARIANCE)
                .guidance(1, guidance)
                .build();
    }

    /** Settings that begin with their defaults. */
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

        /** Sets the items of a class that its shift remembers. */
        public Builder window(long window) {
            this.window = window;
            return this;
        }

        /** Sets the share of items without their label. */
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
