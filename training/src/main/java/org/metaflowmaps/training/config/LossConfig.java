package org.metaflowmaps.training.config;

import com.fasterxml.jackson.annotation.JsonProperty;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.training.loss.AlphaFlow;
import org.metaflowmaps.training.loss.Consistency;
import org.metaflowmaps.training.loss.Eulerian;
import org.metaflowmaps.training.loss.ImprovedMeanFlow;
import org.metaflowmaps.training.loss.Lagrangian;
import org.metaflowmaps.training.loss.Progressive;
import org.metaflowmaps.training.loss.Semigroup;
import org.metaflowmaps.training.loss.Shortcut;
import org.metaflowmaps.training.loss.TerminalVelocity;
import org.metaflowmaps.training.loss.Velocity;

/**
 * The objective.
 *
 * @param velocity the diagonal's target, and the pairs' velocity of data losses
 * @param diagonal weighting of the diagonal loss
 * @param consistency which consistency loss
 * @param consistencyWeighting its weighting
 * @param consistencyShare share of a batch used by the consistency loss, its first items
 * @param consistencyFactor factor of the consistency loss
 * @param diagonalOnly steps at the start without a consistency loss
 * @param through the trained side of a Lagrangian loss
 * @param averaged true to use the moving average for the shorter jumps of semigroup, psd and shortcut
 * @param clipTarget largest size of an entry of {@link Shortcut}'s target; 0 for no bound
 * @param alphaFrom the step until which α-flow is flow matching
 * @param alphaTo the step from which it is MeanFlow
 */
public record LossConfig(
        @JsonProperty("velocity") VelocityKind velocity,
        @JsonProperty("diagonal") WeightingConfig diagonal,
        @JsonProperty("consistency") ConsistencyKind consistency,
        @JsonProperty("consistency_weighting") WeightingConfig consistencyWeighting,
        @JsonProperty("consistency_share") double consistencyShare,
        @JsonProperty("consistency_factor") double consistencyFactor,
        @JsonProperty("diagonal_only") long diagonalOnly,
        @JsonProperty("through") Lagrangian.Through through,
        @JsonProperty("averaged") boolean averaged,
        @JsonProperty("clip_target") double clipTarget,
        @JsonProperty("alpha_from") long alphaFrom,
        @JsonProperty("alpha_to") long alphaTo) {
    /** Checks the ranges. */
    public LossConfig {
        Check.given(velocity, "loss.velocity");
        Check.given(diagonal, "loss.diagonal");
        Check.given(consistency, "loss.consistency");
        Check.given(consistencyWeighting, "loss.consistency_weighting");
        Check.given(through, "loss.through");
        Check.require(
                consistencyShare > 0 && consistencyShare <= 1,
                "loss.consistency_share is %s, expected above 0 to 1",
                consistencyShare);
        Check.require(
                consistencyFactor > 0 && consistencyFactor < Double.POSITIVE_INFINITY,
                "loss.consistency_factor is %s, expected a number above 0",
                consistencyFactor);
        Check.require(diagonalOnly >= 0, "loss.diagonal_only is %s, expected 0 or more", diagonalOnly);
        Check.require(
                consistency != ConsistencyKind.LAGRANGIAN_TEACHER || through != Lagrangian.Through.VELOCITY,
                "loss.through is velocity, which trains the map's own velocity: for %s use derivative or average",
                "lagrangian-teacher");
        Check.require(
                clipTarget >= 0 && clipTarget < Double.POSITIVE_INFINITY,
                "loss.clip_target is %s, expected 0 (no bound) or more",
                clipTarget);
        Check.require(alphaFrom >= 0, "loss.alpha_from is %s, expected 0 or more", alphaFrom);
        Check.require(alphaTo >= alphaFrom, "loss.alpha_to is %s, expected no less than loss.alpha_from", alphaTo);
        Check.require(
                consistency != ConsistencyKind.ALPHA_FLOW || alphaTo > 0,
                "loss.alpha_to is %s, which makes alpha-flow mean-flow from the first step: give the steps over which"
                        + " alpha falls from 1 to 0",
                alphaTo);
    }

    boolean needsTeacher() {
        return velocity == VelocityKind.TEACHER || consistency.uses == Uses.TEACHER;
    }

    /** Returns true if the consistency loss evaluates the moving average. */
    public boolean needsAverage() {
        return consistency.uses == Uses.AVERAGE || (consistency.uses == Uses.AVERAGE_IF_SET && averaged);
    }

    /** α of α-flow at a step. */
    public double alpha(long step) {
        return AlphaFlow.scheduled(step, alphaFrom, alphaTo);
    }

    /**
     * The consistency loss of a step.
     *
     * @return null if the step has only the diagonal loss
     */
    public @Nullable Consistency consistency(Parts parts, long step) {
        return consistency == ConsistencyKind.NONE || step < diagonalOnly
                ? null
                : consistency.maker.make(this, parts, step);
    }

    private @Nullable MetaFlowMap shorter(Parts parts) {
        return averaged ? parts.average() : null;
    }

    /** Returns a builder with the default of every setting, as defaults.yaml has them. */
    public static Builder builder() {
        return new Builder();
    }

    /** Returns a builder with these settings. */
    public Builder toBuilder() {
        return new Builder()
                .velocity(velocity)
                .diagonal(diagonal)
                .consistency(consistency)
                .consistencyWeighting(consistencyWeighting)
                .consistencyShare(consistencyShare)
                .consistencyFactor(consistencyFactor)
                .diagonalOnly(diagonalOnly)
                .through(through)
                .averaged(averaged)
                .clipTarget(clipTarget)
                .alphaFrom(alphaFrom)
                .alphaTo(alphaTo);
    }

    /** Parts of consistency losses besides their settings. */
    public interface Parts {
        /** Returns the diagonal's target. */
        Velocity velocity();

        /** Returns the teacher's drift; available if the loss uses it. */
        Velocity.Field teacher();

        /** Returns a map with the moving average's weights; available if {@link LossConfig#needsAverage}. */
        MetaFlowMap average();
    }

    /** The needs of a consistency loss besides the trained map. */
    private enum Uses {
        NOTHING,
        TEACHER,
        AVERAGE,
        AVERAGE_IF_SET
    }

    /** Makes a loss. */
    @FunctionalInterface
    private interface Maker {
        Consistency make(LossConfig loss, Parts parts, long step);
    }

    /** Sources of a pair's velocity, by names in a file. */
    public enum VelocityKind {
        /** {@link Velocity.Data}. */
        @JsonProperty("data")
        DATA,
        /** {@link Velocity.Guided}. */
        @JsonProperty("guided")
        GUIDED,
        /** {@link Velocity.Taught}. */
        @JsonProperty("teacher")
        TEACHER
    }

    /** The registry of consistency losses, by names in a file. */
    public enum ConsistencyKind {
        /** Diagonal only: flow matching. */
        @JsonProperty("none")
        NONE(Uses.NOTHING, (loss, parts, step) -> {
            throw new IllegalStateException("loss.consistency is none");
        }),
        /** {@link Semigroup}. */
        @JsonProperty("semigroup")
        SEMIGROUP(Uses.AVERAGE_IF_SET, (loss, parts, step) -> new Semigroup(loss.shorter(parts))),
        /** {@link Progressive}. */
        @JsonProperty("psd")
        PSD(Uses.AVERAGE_IF_SET, (loss, parts, step) -> new Progressive(loss.shorter(parts))),
        /** {@link Shortcut}. */
        @JsonProperty("shortcut")
        SHORTCUT(Uses.AVERAGE_IF_SET, (loss, parts, step) -> new Shortcut(loss.shorter(parts), loss.clipTarget)),
        /** {@link Eulerian} with the diagonal's velocity. */
        @JsonProperty("mean-flow")
        MEAN_FLOW(Uses.NOTHING, (loss, parts, step) -> new Eulerian(parts.velocity())),
        /** {@link ImprovedMeanFlow}. */
        @JsonProperty("improved-mean-flow")
        IMPROVED_MEAN_FLOW(Uses.NOTHING, (loss, parts, step) -> new ImprovedMeanFlow(parts.velocity())),
        /** {@link Eulerian} with the map's own velocity. */
        @JsonProperty("eulerian")
        EULERIAN(Uses.NOTHING, (loss, parts, step) -> new Eulerian(new Velocity.Own())),
        /** {@link Eulerian} with a teacher's drift. */
        @JsonProperty("eulerian-teacher")
        EULERIAN_TEACHER(Uses.TEACHER, (loss, parts, step) -> new Eulerian(parts.teacher())),
        /** {@link Lagrangian} with the map's own velocity. */
        @JsonProperty("lagrangian")
        LAGRANGIAN(Uses.NOTHING, (loss, parts, step) -> new Lagrangian(new Velocity.Own(), loss.through)),
        /** {@link Lagrangian} with a teacher's drift. */
        @JsonProperty("lagrangian-teacher")
        LAGRANGIAN_TEACHER(Uses.TEACHER, (loss, parts, step) -> new Lagrangian(parts.teacher(), loss.through)),
        /** {@link TerminalVelocity}. */
        @JsonProperty("terminal-velocity")
        TERMINAL_VELOCITY(Uses.AVERAGE, (loss, parts, step) -> new TerminalVelocity(parts.average())),
        /** {@link AlphaFlow}. */
        @JsonProperty("alpha-flow")
        ALPHA_FLOW(
                Uses.NOTHING,
                (loss, parts, step) -> new AlphaFlow(parts.velocity(), AlphaFlow.Stage.of(loss.alpha(step))));

        private final Uses uses;

        @SuppressWarnings("ImmutableEnumChecker") // a function without state
        private final Maker maker;

        ConsistencyKind(Uses uses, Maker maker) {
            this.uses = uses;
            this.maker = maker;
        }
    }

    /** A builder, with defaults for all settings. */
    public static final class Builder {
        private VelocityKind velocity = VelocityKind.DATA;
        private WeightingConfig diagonal = WeightingConfig.builder().build();
        private ConsistencyKind consistency = ConsistencyKind.PSD;
        private WeightingConfig consistencyWeighting = WeightingConfig.builder().build();
        private double consistencyShare = 1;
        private double consistencyFactor = 1;
        private long diagonalOnly;
        private Lagrangian.Through through = Lagrangian.Through.DERIVATIVE;
        private boolean averaged;
        private double clipTarget;
        private long alphaFrom;
        private long alphaTo;

        private Builder() {}

        /** Sets the diagonal's target. */
        public Builder velocity(VelocityKind velocity) {
            this.velocity = velocity;
            return this;
        }

        /** Sets the weighting of the diagonal loss. */
        public Builder diagonal(WeightingConfig diagonal) {
            this.diagonal = diagonal;
            return this;
        }

        /** Sets which consistency loss. */
        public Builder consistency(ConsistencyKind consistency) {
            this.consistency = consistency;
            return this;
        }

        /** Sets the weighting of the consistency loss. */
        public Builder consistencyWeighting(WeightingConfig consistencyWeighting) {
            this.consistencyWeighting = consistencyWeighting;
            return this;
        }

        /** Sets the share of a batch used by the consistency loss. */
        public Builder consistencyShare(double consistencyShare) {
            this.consistencyShare = consistencyShare;
            return this;
        }

        /** Sets the factor of the consistency loss. */
        public Builder consistencyFactor(double consistencyFactor) {
            this.consistencyFactor = consistencyFactor;
            return this;
        }

        /** Sets the steps at the start without a consistency loss. */
        public Builder diagonalOnly(long diagonalOnly) {
            this.diagonalOnly = diagonalOnly;
            return this;
        }

        /** Sets the trained side of a Lagrangian loss. */
        public Builder through(Lagrangian.Through through) {
            this.through = through;
            return this;
        }

        /** Sets whether semigroup, psd and shortcut use the moving average for the shorter jumps. */
        public Builder averaged(boolean averaged) {
            this.averaged = averaged;
            return this;
        }

        /** Sets the largest size of an entry of {@link Shortcut}'s target; 0 for no bound. */
        public Builder clipTarget(double clipTarget) {
            this.clipTarget = clipTarget;
            return this;
        }

        /** Sets the step until which α-flow is flow matching. */
        public Builder alphaFrom(long alphaFrom) {
            this.alphaFrom = alphaFrom;
            return this;
        }

        /** Sets the step from which α-flow is MeanFlow. */
        public Builder alphaTo(long alphaTo) {
            this.alphaTo = alphaTo;
            return this;
        }

        /**
         * Returns the configuration.
         *
         * @throws IllegalArgumentException if a value is out of range, or settings do not fit together
         */
        public LossConfig build() {
            return new LossConfig(
                    velocity,
                    diagonal,
                    consistency,
                    consistencyWeighting,
                    consistencyShare,
                    consistencyFactor,
                    diagonalOnly,
                    through,
                    averaged,
                    clipTarget,
                    alphaFrom,
                    alphaTo);
        }
    }
}
