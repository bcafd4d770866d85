package org.metaflowmaps.steering.particle;

import java.util.Arrays;
import java.util.random.RandomGenerator;

/**
 * The filter of the mixture in plain Java, with exact draws, and with the faults that public filters have. It shares no code with
 * {@link ParticleFilter}.
 */
final class PlainFilter {
    /** What is wrong with it. */
    enum Fault {
        NONE,
        /** Without resampling the weights start again at 1. */
        WEIGHTS_DROPPED,
        /** ψ̂_0 does not enter the weights. */
        FIRST_FORGOTTEN,
        /** The potential of the step before is drawn again. */
        REDRAWN,
        /** Weights are summed where they are averaged. */
        COUNT_MISSING
    }

    private static final double VARIANCE = 0.5;
    private static final double[] MEANS = {-3, 0, 3};

    private final Fault fault;
    private final double threshold;
    private final RandomGenerator random;

    PlainFilter(Fault fault, double threshold, RandomGenerator random) {
        this.fault = fault;
        this.threshold = threshold;
        this.random = random;
    }

    private static double score(double[] x) {
        return -MixtureFilter.STRENGTH * Math.pow(1.2 * x[0] - 0.8 * x[1] + 1, 2) / (2 * 0.2 * 0.2);
    }

    private double[] draw(double t, double[] x) {
        double seen = (1 - t) * (1 - t) + t * t * VARIANCE;
        double[] shares = new double[3];
        double sum = 0;
        for (int k = 0; k < 3; k++) {
            double square = Math.pow(x[0] - t * MEANS[k], 2) + Math.pow(x[1] - t * MEANS[k], 2);
            shares[k] = Math.exp(-0.5 * square / seen);
            sum += shares[k];
        }
        double place = random.nextDouble() * sum;
        int k = 0;
        while (k < 2 && place >= shares[k]) {
            place -= shares[k++];
        }
        double deviation = Math.sqrt(VARIANCE / seen) * (1 - t);
        double[] drawn = new double[2];
        for (int i = 0; i < 2; i++) {
            drawn[i] = MEANS[k] + t * VARIANCE / seen * (x[i] - t * MEANS[k]) + deviation * random.nextGaussian();
        }
        return drawn;
    }

    private double potential(double t, double[] x) {
        double sum = 0;
        for (int i = 0; i < MixtureFilter.DRAWS; i++) {
            sum += Math.exp(score(draw(t, x)));
        }
        return sum / MixtureFilter.DRAWS;
    }

    private double[] moved(double t, double next, double[] x) {
        double[] end = draw(t, x);
        if (next == 1) {
            return end;
        }
        // The bridge by its precision, as in method §8.1.
        double a = t / next;
        double forward = (1 - t) * (1 - t) - a * a * (1 - next) * (1 - next);
        double variance = 1 / (1 / ((1 - next) * (1 - next)) + a * a / forward);
        double[] state = new double[2];
        for (int i = 0; i < 2; i++) {
            double mean = variance * (next * end[i] / ((1 - next) * (1 - next)) + a * x[i] / forward);
            state[i] = mean + Math.sqrt(variance) * random.nextGaussian();
        }
        return state;
    }

    /** Ẑ of one run. */
    double run() {
        int count = MixtureFilter.PARTICLES;
        double divisor = fault == Fault.COUNT_MISSING ? 1 : count;
        double[][] states = new double[count][];
        Arrays.setAll(states, i -> new double[] {random.nextGaussian(), random.nextGaussian()});
        double[][] before = states;
        double[] stored = new double[count];
        double[] weights = new double[count];
        Arrays.fill(stored, 1);
        Arrays.fill(weights, 1);
        double normaliser = 1;
        for (int step = 0; step < MixtureFilter.STEPS; step++) {
            double t = (double) step / MixtureFilter.STEPS;
            for (int i = 0; i < count; i++) {
                double potential = potential(t, states[i]);
                if (step > 0 && fault == Fault.REDRAWN) {
                    stored[i] = potential((double) (step - 1) / MixtureFilter.STEPS, before[i]);
                }
                if (step > 0 || fault != Fault.FIRST_FORGOTTEN) {
                    weights[i] *= potential / stored[i];
                }
                stored[i] = potential;
            }
            double sum = Arrays.stream(weights).sum();
            double squares = Arrays.stream(weights).map(w -> w * w).sum();
            if (sum * sum / squares < threshold * count) {
                normaliser *= sum / divisor;
                int[] chosen = chosen(weights, sum);
                double[][] old = states;
                double[] kept = stored.clone();
                states = new double[count][];
                for (int i = 0; i < count; i++) {
                    states[i] = old[chosen[i]];
                    stored[i] = kept[chosen[i]];
                }
                Arrays.fill(weights, 1);
            } else if (fault == Fault.WEIGHTS_DROPPED) {
                Arrays.fill(weights, 1);
            }
            before = states.clone();
            for (int i = 0; i < count; i++) {
                states[i] = moved(t, (double) (step + 1) / MixtureFilter.STEPS, states[i]);
            }
            if (step == MixtureFilter.STEPS - 1) {
                for (int i = 0; i < count; i++) {
                    double last = fault == Fault.REDRAWN ? potential(t, before[i]) : stored[i];
                    weights[i] *= Math.exp(score(states[i])) / last;
                }
            }
        }
        return normaliser * Arrays.stream(weights).sum() / divisor;
    }

    private int[] chosen(double[] weights, double sum) {
        int[] chosen = new int[weights.length];
        double uniform = random.nextDouble();
        double end = weights[0];
        int j = 0;
        for (int i = 0; i < chosen.length; i++) {
            double point = (uniform + i) / chosen.length * sum;
            while (point >= end && j < weights.length - 1) {
                end += weights[++j];
            }
            chosen[i] = j;
        }
        return chosen;
    }
}
