package org.metaflowmaps.training;

import com.google.common.base.Preconditions;
import java.util.function.LongToDoubleFunction;
import org.metaflowmaps.training.config.OptimizerConfig;
import org.metaflowmaps.training.config.Precision;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.data.DataConfig;
import org.metaflowmaps.training.optim.WarmUp;

/**
 * Settings of a {@link Trainer}.
 *
 * @param steps optimiser steps, at least 1
 * @param batch items per pass, at least 1
 * @param accumulate passes per step, at least 1
 * @param slices parts of a pass's items that threads compute at the same time, at least 1; only for a
 *     {@link SplitObjective}. Gradients are added in the order of the parts, so that threads do not change results
 * @param readEvery steps between two reads of a step's numbers, at least 1
 * @param checkpointEvery steps between checkpoints, at least 1
 * @param clip largest norm of all gradients together; 0 for no bound
 * @param skipAbove norm of all gradients together, before clipping, above which a step is skipped; 0 for no bound
 * @param maxSkipped skipped steps in a row that end the run, at least 1
 * @param precision the network's precision
 * @param learningRate the rate of a step, counted from 0
 * @param replacesDamaged true if the data replaces damaged items
 * @param graphs true to capture steps as CUDA graphs on a GPU, if the objective is a {@link GraphObjective} and steps have
 *     one pass
 * @param recompute true to compute losses under a {@link org.metaflowmaps.models.model.BlockTape}
 */
public record TrainerSettings(
        long steps,
        int batch,
        int accumulate,
        int slices,
        long readEvery,
        long checkpointEvery,
        double clip,
        double skipAbove,
        int maxSkipped,
        Precision precision,
        LongToDoubleFunction learningRate,
        boolean replacesDamaged,
        boolean graphs,
        boolean recompute) {
    /** Checks the ranges. */
    public TrainerSettings {
        Preconditions.checkArgument(
                steps > 0
                        && batch > 0
                        && accumulate > 0
                        && slices > 0
                        && readEvery > 0
                        && checkpointEvery > 0
                        && maxSkipped > 0,
                "trainer: steps %s, batch %s, accumulate %s, slices %s, read every %s, checkpoint every %s, at most %s"
                        + " skipped: expected at least 1 each",
                steps,
                batch,
                accumulate,
                slices,
                readEvery,
                checkpointEvery,
                maxSkipped);
        Preconditions.checkArgument(
                clip >= 0 && skipAbove >= 0, "trainer: clip %s, skip above %s, expected 0 or more", clip, skipAbove);
    }

    /**
     * Makes settings for steps of one pass in float32, without clipping; a gradient that is not finite ends the run.
     * The numbers of each step are read.
     *
     * @param learningRate the rate of a step, counted from 0
     */
    public static TrainerSettings of(long steps, int batch, LongToDoubleFunction learningRate) {
        return new TrainerSettings(
                steps, batch, 1, 1, 1, steps, 0, 0, 1, Precision.FLOAT32, learningRate, false, false, false);
    }

    static TrainerSettings of(TrainConfig config, int slices) {
        OptimizerConfig rule = config.optimizer();
        return new TrainerSettings(
                config.steps(),
                config.batch(),
                config.accumulate(),
                slices,
                config.logEvery(),
                config.checkpointEvery(),
                rule.clip(),
                rule.skipAbove(),
                rule.maxSkipped(),
                config.precision(),
                step -> rate(config, step),
                config.data().onError() == DataConfig.OnError.SKIP,
                config.graphs(),
                config.recompute());
    }

    private static double rate(TrainConfig config, long step) {
        OptimizerConfig rule = config.optimizer();
        double rate = new WarmUp(rule.learningRate(), rule.warmUp()).at(step);
        long decay = Math.min(rule.decay(), config.steps());
        long left = Math.max(0, config.steps() - step);
        return left < decay ? rate * left / decay : rate;
    }
}
