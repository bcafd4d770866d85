package org.metaflowmaps.training.config;

import com.fasterxml.jackson.annotation.JsonProperty;
import org.metaflowmaps.training.loss.Eulerian;
import org.metaflowmaps.training.loss.Lagrangian;
import org.metaflowmaps.training.loss.Shortcut;

/**
 * The objective.
 *
 * @param velocity what the diagonal learns, and what data losses take for their pairs' velocity
 * @param diagonal weighting of the diagonal loss
 * @param consistency which consistency loss
 * @param consistencyWeighting its weighting
 * @param consistencyShare share of a batch that the consistency loss sees, from its first items on
 * @param consistencyFactor what the consistency loss is multiplied by
 * @param diagonalOnly steps at the start without a consistency loss
 * @param through which side a Lagrangian loss trains
 * @param averaged true to let the moving average make the shorter jumps of semigroup, psd and shortcut
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
        Check.require(consistencyShare > 0 && consistencyShare <= 1, "loss.consistency_share is %s, expected above 0 to 1",
                consistencyShare);
        Check.require(consistencyFactor > 0 && consistencyFactor < Double.POSITIVE_INFINITY,
                "loss.consistency_factor is %s, expected a number above 0", consistencyFactor);
        Check.require(diagonalOnly >= 0, "loss.diagonal_only is %s, expected 0 or more", diagonalOnly);
        Check.require(consistency != ConsistencyKind.LAGRANGIAN_TEACHER || through != Lagrangian.Through.VELOCITY,
                "loss.through is velocity, which trains the map's own velocity: for %s take derivative or average", "lagrangian-teacher");
        Check.require(clipTarget >= 0 && clipTarget < Double.POSITIVE_INFINITY,
                "loss.clip_target is %s, expected 0 (no bound) or more", clipTarget);
        Check.require(alphaFrom >= 0, "loss.alpha_from is %s, expected 0 or more", alphaFrom);
        Check.require(alphaTo >= alphaFrom, "loss.alpha_to is %s, expected no less than loss.alpha_from", alphaTo);
        Check.require(consistency != ConsistencyKind.ALPHA_FLOW || alphaTo > 0,
                "loss.alpha_to is %s, which makes alpha-flow mean-flow from the first step: give the steps over which alpha falls from 1 to 0", alphaTo);
    }

    boolean needsTeacher() {
        return velocity == VelocityKind.TEACHER || consistency == ConsistencyKind.EULERIAN_TEACHER
                || consistency == ConsistencyKind.LAGRANGIAN_TEACHER;
    }

    /** Where losses take a pair's velocity from, by names in a file. */
    public enum VelocityKind {
        /** {@link org.metaflowmaps.training.loss.Velocity.Data}. */
        @JsonProperty("data")
        DATA,
        /** {@link org.metaflowmaps.training.loss.Velocity.Guided}. */
        @JsonProperty("guided")
        GUIDED,
        /** {@link org.metaflowmaps.training.loss.Velocity.Taught}. */
        @JsonProperty("teacher")
        TEACHER
    }

    /** The consistency losses by their names in a file. */
    public enum ConsistencyKind {
        /** Diagonal only: flow matching. */
        @JsonProperty("none")
        NONE,
        /** {@link org.metaflowmaps.training.loss.Semigroup}. */
        @JsonProperty("semigroup")
        SEMIGROUP,
        /** {@link org.metaflowmaps.training.loss.Progressive}. */
        @JsonProperty("psd")
        PSD,
        /** {@link Shortcut}. */
        @JsonProperty("shortcut")
        SHORTCUT,
        /** {@link Eulerian} with the diagonal's velocity. */
        @JsonProperty("mean-flow")
        MEAN_FLOW,
        /** {@link org.metaflowmaps.training.loss.ImprovedMeanFlow}. */
        @JsonProperty("improved-mean-flow")
        IMPROVED_MEAN_FLOW,
        /** {@link Eulerian} with the map's own velocity. */
        @JsonProperty("eulerian")
        EULERIAN,
        /** {@link Eulerian} with a teacher's drift. */
        @JsonProperty("eulerian-teacher")
        EULERIAN_TEACHER,
        /** {@link Lagrangian} with the map's own velocity. */
        @JsonProperty("lagrangian")
        LAGRANGIAN,
        /** {@link Lagrangian} with a teacher's drift. */
        @JsonProperty("lagrangian-teacher")
        LAGRANGIAN_TEACHER,
        /** {@link org.metaflowmaps.training.loss.TerminalVelocity}. */
        @JsonProperty("terminal-velocity")
        TERMINAL_VELOCITY,
        /** {@link org.metaflowmaps.training.loss.AlphaFlow}. */
        @JsonProperty("alpha-flow")
        ALPHA_FLOW
    }
}
