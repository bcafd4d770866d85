package org.metaflowmaps.steering.reward;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.metaflowmaps.runtime.Close.assertClose;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

final class InverseProblemTest {
    private final long live = NativeMemory.liveTensors();

    @AfterEach
    void nothingIsLeftBehind() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    private static List<Measurement> measurements() {
        try (TensorScope scope = TensorScope.open()) {
            return List.of(Measurement.inpainting(Samples.leftHalf()), Measurement.downsampling(2), Samples.blur());
        }
    }

    @Test
    void measurementsAreLinearAndActOnEachImage() {
        for (Measurement measurement : measurements()) {
            try (measurement;
                    TensorScope scope = TensorScope.open()) {
                Tensor first = Samples.images(3, 1);
                Tensor second = Samples.images(3, 2);
                Tensor expected = measurement
                        .apply(first)
                        .mul(0.7)
                        .sub(measurement.apply(second).mul(1.9));
                assertClose(
                        expected, measurement.apply(first.mul(0.7).sub(second.mul(1.9))), 1e-14, measurement.name());
                assertClose(
                        measurement.apply(first).narrow(0, 1, 1),
                        measurement.apply(first.narrow(0, 1, 1)),
                        1e-14,
                        measurement.name());
            }
        }
    }

    @Test
    void inpaintingKeepsWhatIsSeen() {
        try (TensorScope scope = TensorScope.open();
                Measurement flat = Measurement.inpainting(Torch.of(new float[] {1, 0, 0, 1}, 2, 2));
                Measurement each = Measurement.inpainting(Torch.of(new float[] {1, 0, 0, 1, 0, 1, 0, 0}, 2, 2, 2))) {
            Tensor image = Torch.of(new double[] {1, 2, 3, 4, 5, 6, 7, 8}, 1, 2, 2, 2);
            assertArrayEquals(
                    new double[] {1, 0, 0, 4, 5, 0, 0, 8}, flat.apply(image).toDoubleArray());
            assertArrayEquals(
                    new double[] {1, 0, 0, 4, 0, 6, 0, 0}, each.apply(image).toDoubleArray());
            assertEquals(4, flat.seen(Shape.of(2, 2, 2)));
            assertEquals(3, each.seen(Shape.of(2, 2, 2)));
        }
    }

    @Test
    void downsamplingAverages() {
        try (TensorScope scope = TensorScope.open();
                Measurement measurement = Measurement.downsampling(2)) {
            Tensor image = Torch.of(new double[] {1, 2, 3, 4, 5, 6, 7, 8}, 1, 1, 2, 4);
            assertArrayEquals(
                    new double[] {14 / 4.0, 22 / 4.0}, measurement.apply(image).toDoubleArray(), 1e-14);
            assertRefused(() -> measurement.apply(Torch.zeros(1, 1, 3, 4)), "down-sampling by 2", "[1, 1, 3, 4]");
        }
    }

    /** At σ = 0.5 the kernel of 5 is cut off at 2 pixels; the image is continued as c b | a b c | b a. */
    @Test
    void aBlurIsTheGaussianKernelWithReflection() {
        double near = Math.exp(-2);
        double far = Math.exp(-8);
        double total = 1 + 2 * near + 2 * far;
        try (TensorScope scope = TensorScope.open();
                Measurement blur = Measurement.blur(0.5, 1, 3, Device.CPU)) {
            double[] row = {1, 10, 100};
            double[] expected = {
                (row[0] + 2 * near * row[1] + 2 * far * row[2]) / total,
                (row[1] + near * (row[0] + row[2]) + 2 * far * row[1]) / total,
                (row[2] + 2 * near * row[1] + 2 * far * row[0]) / total
            };
            assertArrayEquals(expected, blur.apply(Torch.of(row, 1, 1, 1, 3)).toDoubleArray(), 1e-12);
            try (Measurement turned = Measurement.blur(0.5, 3, 1, Device.CPU)) {
                assertArrayEquals(
                        expected, turned.apply(Torch.of(row, 1, 1, 3, 1)).toDoubleArray(), 1e-12);
            }
            assertRefused(() -> blur.apply(Torch.zeros(1, 1, 3, 3)), "width 3");
        }
        try (TensorScope scope = TensorScope.open();
                Measurement wide = Measurement.blur(20, 2, 3, Device.CPU)) {
            Tensor grey = Torch.full(0.3, DType.FLOAT64, Device.CPU, 1, 1, 2, 3);
            assertClose(grey, wide.apply(grey), 1e-14, "a constant image stays");
        }
    }

    @Test
    void theScoreIsTheLogLikelihoodAndChiSquaredCountsWhatIsSeen() {
        try (TensorScope scope = TensorScope.open();
                InverseProblem problem = new InverseProblem(
                        Measurement.inpainting(Torch.of(new float[] {1, 0, 0, 1}, 2, 2)),
                        // The hidden 9 and 7 are ignored.
                        Torch.of(new double[] {0.5, 9, 7, 0.1}, 1, 2, 2),
                        0.2)) {
            Tensor image = Torch.of(new double[] {0.9, 0.3, 0.3, 0.4}, 1, 1, 2, 2);
            double squares = 0.4 * 0.4 + 0.3 * 0.3;
            assertEquals(
                    -squares / (2 * 0.04),
                    problem.score(image, Condition.none()).item(),
                    1e-12);
            assertEquals(squares / 0.04 / 2, problem.chiSquared(image).item(), 1e-12);
            assertRefused(() -> problem.score(Torch.zeros(1, 3, 2, 2), Condition.none()), "inpainting", "[1, 2, 2]");
        }
    }

    /** 40 observations of the true image: 40·n squares of standard normal numbers. */
    @Test
    void theTrueImageHasChiSquaredOne() {
        for (Measurement measurement : measurements()) {
            try (TensorScope scope = TensorScope.open();
                    RandomSource random = RandomSource.seeded(8);
                    measurement) {
                Tensor image = Samples.images(1, 4);
                double sum = 0;
                long n = 0;
                for (int i = 0; i < 40; i++) {
                    Tensor observation = measurement.observe(image.select(0, 0), 0.05, random);
                    n = measurement.seen(observation.shape());
                    assertClose(
                            measurement.visible(observation), observation, 0, "hidden numbers of observations are 0");
                    try (InverseProblem problem = new InverseProblem(measurement(measurement), observation, 0.05)) {
                        sum += problem.chiSquared(image).item();
                    }
                }
                assertEquals(1, sum / 40, 4 * Math.sqrt(2 / (40.0 * n)), measurement.name());
            }
        }
    }

    /** Makes an equal measurement, because an inverse problem closes its own. */
    private static Measurement measurement(Measurement like) {
        Measurement found = null;
        for (Measurement each : measurements()) {
            if (each.name().equals(like.name())) {
                found = each;
            } else {
                each.close();
            }
        }
        return Objects.requireNonNull(found);
    }

    @Test
    void whatDoesNotFitIsRefused() {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(1);
                Measurement measurement = Measurement.downsampling(2)) {
            assertRefused(() -> Measurement.inpainting(Torch.zeros(2, 2)), "at least one");
            assertRefused(() -> Measurement.inpainting(Torch.full(0.5, DType.FLOAT32, Device.CPU, 2, 2)), "0 and 1");
            assertRefused(() -> Measurement.inpainting(Torch.zeros(2)), "(H, W)");
            assertRefused(() -> Measurement.downsampling(0), "at least 1");
            assertRefused(() -> Measurement.blur(0, 2, 2, Device.CPU), "above 0");
            assertRefused(() -> Measurement.blur(1, 0, 2, Device.CPU), "0 x 2");
            assertRefused(() -> Measurement.blur(1, 2, 5000, Device.CPU), "2 x 5000", "4096");
            assertRefused(() -> Measurement.blur(1e9, 2, 2, Device.CPU), "at most 1000");
            Tensor observation = Torch.zeros(1, 2, 2);
            assertRefused(() -> new InverseProblem(measurement, observation, 0), "noise is 0");
            assertRefused(() -> new InverseProblem(measurement, Torch.zeros(2, 2), 1), "(C, h, w)");
            assertRefused(() -> measurement.observe(Torch.zeros(1, 1, 4, 4), 0.1, random), "(C, H, W)");
            assertRefused(() -> measurement.observe(observation, -1, random), "noise is -1");
        }
    }
}
