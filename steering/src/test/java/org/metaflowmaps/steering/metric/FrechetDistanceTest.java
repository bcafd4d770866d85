package org.metaflowmaps.steering.metric;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Distances of sets constructed with exactly known means and covariances. */
final class FrechetDistanceTest {
    private static final double ROUNDING = 1e-9;

    private final long live = NativeMemory.liveTensors();
    private final RandomSource random = RandomSource.seeded(3);
    private final TensorScope scope = TensorScope.open();

    @AfterEach
    void nothingIsLeftBehind() {
        scope.close();
        random.close();
        assertEquals(live, NativeMemory.liveTensors());
    }

    /** Points with mean 0 and the identity as their unbiased covariance: ± √((2d - 1) / 2)·e_i. */
    private static Tensor white(int width) {
        double[] points = new double[2 * width * width];
        for (int i = 0; i < width; i++) {
            points[2 * i * width + i] = Math.sqrt((2 * width - 1) / 2.0);
            points[(2 * i + 1) * width + i] = -points[2 * i * width + i];
        }
        return Torch.of(points, 2L * width, width);
    }

    private static FeatureMoments moments(Tensor points) {
        FeatureMoments moments = new FeatureMoments((int) points.size(1));
        moments.add(points);
        return moments;
    }

    private static Tensor rotation(double angle) {
        return Torch.of(new double[] {Math.cos(angle), -Math.sin(angle), Math.sin(angle), Math.cos(angle)}, 2, 2);
    }

    @Test
    void ofAxisAlignedGaussiansItIsTheSumOverAxes() {
        Tensor first = white(3).mul(Torch.of(new double[] {1, 2, 0.5})).add(Torch.of(new double[] {0, 1, -1}));
        Tensor second = white(3).mul(Torch.of(new double[] {3, 2, 1})).add(Torch.of(new double[] {2, 1, 0.5}));
        // (1 - 3)² + 0 + (0.5 - 1)² for the deviations, 2² + 0 + 1.5² for the means.
        assertEquals(4 + 0.25 + 4 + 2.25, FrechetDistance.between(moments(first), moments(second)), ROUNDING);
    }

    /** For two Gaussians in the plane tr (A^½BA^½)^½ = √(tr AB + 2·√(det A·det B)). */
    @Test
    void ofRotatedGaussiansInThePlaneItIsTheClosedForm() {
        double angle = 0.7;
        double[] a = {4, 0.25};
        double[] b = {1, 9};
        Tensor first = white(2).mul(Torch.of(new double[] {2, 0.5}));
        Tensor second = white(2).mul(Torch.of(new double[] {1, 3})).matmul(rotation(angle));
        double cosine = Math.cos(angle) * Math.cos(angle);
        double product = cosine * (a[0] * b[0] + a[1] * b[1]) + (1 - cosine) * (a[0] * b[1] + a[1] * b[0]);
        double root = Math.sqrt(product + 2 * Math.sqrt(a[0] * a[1] * b[0] * b[1]));
        assertEquals(
                a[0] + a[1] + b[0] + b[1] - 2 * root,
                FrechetDistance.between(moments(first), moments(second)),
                ROUNDING);
    }

    @Test
    void aSetIsNoDistanceFromItselfAndDistancesAreSymmetricAndUnmovedByRotations() {
        Tensor mixing = random.normal(5, 5).to(DType.FLOAT64);
        Tensor first = random.normal(300, 5).to(DType.FLOAT64).matmul(mixing);
        Tensor second = random.normal(300, 5).to(DType.FLOAT64).add(0.3);
        assertEquals(0, FrechetDistance.between(moments(first), moments(first)), ROUNDING);
        double distance = FrechetDistance.between(moments(first), moments(second));
        assertTrue(distance > 0.1);
        assertEquals(distance, FrechetDistance.between(moments(second), moments(first)), ROUNDING);
        Tensor rotation = Torch.linalgEigh(mixing.add(mixing.transpose(0, 1))).vectors();
        assertEquals(
                distance,
                FrechetDistance.between(moments(first.matmul(rotation)), moments(second.matmul(rotation))),
                ROUNDING);
    }

    /** Three vectors of width 40 span a plane at most: both covariances are singular. */
    @Test
    void covariancesMayLackRank() {
        Tensor first = random.normal(3, 40);
        assertEquals(0, FrechetDistance.between(moments(first), moments(first)), 1e-5);
        assertEquals(40 * 0.25, FrechetDistance.between(moments(first), moments(first.add(0.5))), 1e-5);
        // A set of one point twice has no spread: the distance is the other's variance plus the squared shift.
        FeatureMoments point = moments(Torch.zeros(2, 3));
        assertEquals(3 + 3 * 4, FrechetDistance.between(point, moments(white(3).add(2))), ROUNDING);
    }

    @Test
    void momentsDoNotDependOnBatchesNorOnAFarMean() {
        Tensor points = random.normal(70, 4).to(DType.FLOAT64).add(1e6);
        FeatureMoments parts = new FeatureMoments(4);
        parts.add(points.narrow(0, 0, 1));
        parts.add(points.narrow(0, 1, 0));
        parts.add(points.narrow(0, 1, 49));
        parts.add(points.narrow(0, 50, 20));
        assertEquals(70, parts.count());
        assertArrayEquals(points.mean(0).toDoubleArray(), parts.mean(), 1e-8);
        double[] variances = points.var(0).toDoubleArray();
        double[] covariance = parts.covariance();
        for (int i = 0; i < 4; i++) {
            assertEquals(variances[i], covariance[5 * i], 1e-8);
            assertEquals(covariance[i], covariance[4 * i], 1e-12);
        }
    }

    /** The bias of finite sets, the reason for the floor, halves with twice the size. */
    @Test
    void setsOfTheSameLawAreApartByAboutOneOverTheirSize() {
        double few = FrechetDistance.between(moments(random.normal(500, 20)), moments(random.normal(500, 20)));
        double many = FrechetDistance.between(moments(random.normal(8000, 20)), moments(random.normal(8000, 20)));
        assertEquals(16, few / many, 5);
    }

    @Test
    void whatHasNoDistanceIsRefused() {
        FeatureMoments one = moments(Torch.zeros(1, 3));
        assertTrue(String.valueOf(assertThrows(IllegalStateException.class, one::covariance)
                        .getMessage())
                .contains("at least 2"));
        FeatureMoments narrow = moments(Torch.zeros(2, 2));
        assertThrows(IllegalArgumentException.class, () -> FrechetDistance.between(narrow, moments(Torch.zeros(2, 3))));
        assertThrows(IllegalArgumentException.class, () -> narrow.add(Torch.zeros(2, 3)));
        assertThrows(
                IllegalArgumentException.class,
                () -> narrow.add(Torch.zeros(2, 2).log().neg()));
        assertEquals(2, narrow.count(), "a refused batch changes nothing");
        assertThrows(IllegalArgumentException.class, () -> new FeatureMoments(0));
    }
}
