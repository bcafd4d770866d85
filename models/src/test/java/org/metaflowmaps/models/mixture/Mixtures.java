package org.metaflowmaps.models.mixture;

import java.util.ArrayList;
import java.util.List;
import org.metaflowmaps.runtime.Device;

/** Mixtures for tests, and their posteriors by conditioning of two-dimensional Gaussians. */
public final class Mixtures {
    private Mixtures() {}

    /** The paper's mixture: three equal components of covariance 0.5·I; the caller closes it. */
    public static GaussianMixture paper() {
        return GaussianMixture.isotropic(
                List.of(new double[] {-3, -3}, new double[] {0, 0}, new double[] {3, 3}), 0.5, Device.CPU);
    }

    /** Three different components; the caller closes it. */
    public static GaussianMixture skewed() {
        return new GaussianMixture(
                List.of(1.0, 2.0, 0.5),
                List.of(new double[] {-2, 1}, new double[] {0.5, -1}, new double[] {2, 2}),
                List.of(
                        new double[][] {{0.5, 0.2}, {0.2, 0.3}},
                        new double[][] {{1.5, -0.9}, {-0.9, 0.8}},
                        new double[][] {{0.2, 0}, {0, 0.6}}),
                Device.CPU);
    }

    /** Three components on a line; the caller closes it. */
    public static GaussianMixture line() {
        return new GaussianMixture(
                List.of(0.3, 0.5, 0.2),
                List.of(new double[] {-2}, new double[] {0.5}, new double[] {2.5}),
                List.of(new double[][] {{0.3}}, new double[][] {{0.5}}, new double[][] {{0.1}}),
                Device.CPU);
    }

    /** One component of a mixture as a mixture; the caller closes it. */
    public static GaussianMixture component(GaussianMixture mixture, int k) {
        return new GaussianMixture(
                List.of(1.0), List.of(mixture.mean(k)), List.<double[][]>of(mixture.covariance(k)), Device.CPU);
    }

    /** Mean and covariance of a law in the plane. */
    @SuppressWarnings("ArrayRecordComponent") // plain numbers, compared nowhere
    record Moments(double[] mean, double[][] covariance) {}

    /** A Gaussian in the plane with a weight. */
    @SuppressWarnings("ArrayRecordComponent") // plain numbers, compared nowhere
    record Component(double weight, double[] mean, double[][] covariance) {}

    static List<Component> components(GaussianMixture mixture) {
        List<Component> all = new ArrayList<>();
        for (int k = 0; k < mixture.components(); k++) {
            all.add(new Component(mixture.weights()[k], mixture.mean(k), mixture.covariance(k)));
        }
        return all;
    }

    static double[][] inverse(double[][] m) {
        double determinant = m[0][0] * m[1][1] - m[0][1] * m[1][0];
        return new double[][] {
            {m[1][1] / determinant, -m[0][1] / determinant}, {-m[1][0] / determinant, m[0][0] / determinant}
        };
    }

    private static double density(double[] x, double[] mean, double[][] covariance) {
        double[][] precision = inverse(covariance);
        double a = x[0] - mean[0];
        double b = x[1] - mean[1];
        double distance = a * a * precision[0][0] + 2 * a * b * precision[0][1] + b * b * precision[1][1];
        double determinant = covariance[0][0] * covariance[1][1] - covariance[0][1] * covariance[1][0];
        return Math.exp(-0.5 * distance) / (2 * Math.PI * Math.sqrt(determinant));
    }

    static double density(GaussianMixture mixture, double[] x) {
        double sum = 0;
        for (Component component : components(mixture)) {
            sum += component.weight * density(x, component.mean, component.covariance);
        }
        return sum;
    }

    /**
     * Returns each component after the observation x = gain·I_1 + deviation·noise, by Bayes' rule and the Kalman gain.
     */
    static List<Component> observed(List<Component> prior, double gain, double deviation, double[] x) {
        List<Component> posterior = new ArrayList<>();
        double total = 0;
        for (Component component : prior) {
            double[][] covariance = component.covariance;
            double[][] seen = new double[2][2];
            double[] predicted = new double[2];
            for (int i = 0; i < 2; i++) {
                predicted[i] = gain * component.mean[i];
                for (int j = 0; j < 2; j++) {
                    seen[i][j] = gain * gain * covariance[i][j] + (i == j ? deviation * deviation : 0);
                }
            }
            double[][] inverse = inverse(seen);
            double[] mean = component.mean.clone();
            double[][] rest = new double[2][2];
            for (int i = 0; i < 2; i++) {
                for (int j = 0; j < 2; j++) {
                    double kalman = gain * (covariance[i][0] * inverse[0][j] + covariance[i][1] * inverse[1][j]);
                    mean[i] += kalman * (x[j] - predicted[j]);
                    for (int l = 0; l < 2; l++) {
                        rest[i][l] -= kalman * gain * covariance[j][l];
                    }
                }
                for (int l = 0; l < 2; l++) {
                    rest[i][l] += covariance[i][l];
                }
            }
            double weight = component.weight * density(x, predicted, seen);
            total += weight;
            posterior.add(new Component(weight, mean, rest));
        }
        double sum = total;
        return posterior.stream()
                .map(one -> new Component(one.weight / sum, one.mean, one.covariance))
                .toList();
    }

    static Moments moments(List<Component> law) {
        double[] mean = new double[2];
        double[][] covariance = new double[2][2];
        for (Component component : law) {
            for (int i = 0; i < 2; i++) {
                mean[i] += component.weight * component.mean[i];
                for (int j = 0; j < 2; j++) {
                    covariance[i][j] +=
                            component.weight * (component.covariance[i][j] + component.mean[i] * component.mean[j]);
                }
            }
        }
        for (int i = 0; i < 2; i++) {
            for (int j = 0; j < 2; j++) {
                covariance[i][j] -= mean[i] * mean[j];
            }
        }
        return new Moments(mean, covariance);
    }

    static Moments posterior(GaussianMixture mixture, double time, double[] x) {
        return moments(observed(components(mixture), time, 1 - time, x));
    }

    /** Returns the moments of points in the plane. */
    static Moments moments(double[] points) {
        int count = points.length / 2;
        double[] mean = new double[2];
        double[][] covariance = new double[2][2];
        for (int n = 0; n < count; n++) {
            for (int i = 0; i < 2; i++) {
                mean[i] += points[2 * n + i] / count;
            }
        }
        for (int n = 0; n < count; n++) {
            for (int i = 0; i < 2; i++) {
                for (int j = 0; j < 2; j++) {
                    covariance[i][j] += (points[2 * n + i] - mean[i]) * (points[2 * n + j] - mean[j]) / count;
                }
            }
        }
        return new Moments(mean, covariance);
    }
}
