package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.metaflowmaps.runtime.Refusal.illegalArgument;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** Arguments that libtorch does not check are rejected before the call. */
class OperandsTest {
    private static final Torch.AdamRates RATES = new Torch.AdamRates(0.9, 0.99, 0.1, 1e-8);

    @Test
    void anAdamStepTakesBuffersOfOneKindOnly() {
        try (TensorScope scope = TensorScope.open()) {
            Torch.AdamScalars scalars = new Torch.AdamScalars(Torch.scalar(1), Torch.scalar(0.1), Torch.scalar(0));
            List<Tensor> wrong = List.of(
                    Torch.zeros(3),
                    Torch.zeros(5),
                    Torch.zeros(2, 2),
                    Torch.zeros(0),
                    Torch.zeros(),
                    Torch.zeros(DType.FLOAT64, Device.CPU, 4),
                    Torch.zeros(DType.BFLOAT16, Device.CPU, 4),
                    Torch.zeros(1).expand(4),
                    Torch.zeros(4, 2).select(1, 0));
            for (int place = 0; place < 4; place++) {
                for (Tensor spoilt : wrong) {
                    Tensor[] buffers = {Torch.zeros(4), Torch.zeros(4), Torch.zeros(4), Torch.zeros(4)};
                    buffers[place] = spoilt;
                    illegalArgument(
                            "fusedAdamW_: ",
                            () -> Torch.fusedAdamW_(buffers[0], buffers[1], buffers[2], buffers[3], scalars, RATES));
                }
            }
            Tensor values = Torch.zeros(4);
            Tensor gradients = Torch.onesLike(values);
            Tensor average = Torch.zeros(4);
            Tensor squares = Torch.zeros(4);
            for (Tensor spoilt : List.of(Torch.zeros(2), Torch.zeros(0), Torch.zeros(DType.FLOAT64, Device.CPU))) {
                illegalArgument(
                        "fusedAdamW_: step is",
                        () -> Torch.fusedAdamW_(
                                values,
                                gradients,
                                average,
                                squares,
                                new Torch.AdamScalars(spoilt, scalars.learningRate(), scalars.skip()),
                                RATES));
                illegalArgument(
                        "fusedAdamW_: skip is",
                        () -> Torch.fusedAdamW_(
                                values,
                                gradients,
                                average,
                                squares,
                                new Torch.AdamScalars(scalars.step(), scalars.learningRate(), spoilt),
                                RATES));
            }
            illegalArgument(
                    "fusedAdamW_: learningRate is",
                    () -> Torch.fusedAdamW_(
                            values,
                            gradients,
                            average,
                            squares,
                            new Torch.AdamScalars(scalars.step(), Torch.of(new long[] {1}), scalars.skip()),
                            RATES));
            illegalArgument(
                    "average and squareAverage are the same memory",
                    () -> Torch.fusedAdamW_(values, gradients, average, average, scalars, RATES));
            assertArrayEquals(new float[4], values.toFloatArray(), "refused before anything is written");
        }
    }

    @Test
    void adamRatesAreInRange() {
        double nan = Double.NaN;
        for (double[] rates : new double[][] {
            {1, 0.9, 0, 0},
            {0.9, -0.1, 0, 0},
            {0.9, nan, 0, 0},
            {0.9, 0.9, Double.POSITIVE_INFINITY, 0},
            {0.9, 0.9, 0, -1}
        }) {
            illegalArgument("Adam with beta1", () -> new Torch.AdamRates(rates[0], rates[1], rates[2], rates[3]));
        }
    }

    @Test
    void reductionsNameTheirDimensions() {
        long[] none = {};
        try (TensorScope scope = TensorScope.open()) {
            Tensor x = Torch.zeros(2, 3);
            illegalArgument("sum: dims is empty", () -> x.sum(none));
            illegalArgument("sumKeepDim: dims is empty", x::sumKeepDim);
            illegalArgument("mean: dims is empty", () -> x.mean(none));
            illegalArgument("meanKeepDim: dims is empty", x::meanKeepDim);
            illegalArgument("amax: dims is empty", x::amax);
            illegalArgument("amaxKeepDim: dims is empty", x::amaxKeepDim);
            illegalArgument("var: dims is empty", x::var);
            illegalArgument("varKeepDim: dims is empty", x::varKeepDim);
            illegalArgument("logsumexp: dims is empty", x::logsumexp);
            illegalArgument("logsumexpKeepDim: dims is empty", x::logsumexpKeepDim);
        }
    }

    @Test
    void layerNormBackwardTakesOneStatisticARow() {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(4)) {
            Tensor input = random.normal(3, 4);
            Tensor gradient = random.normal(3, 4);
            Torch.Normalised normal = Torch.layerNorm(input, 1e-6);
            Tensor mean = normal.mean();
            Tensor rstd = normal.rstd();
            for (Tensor spoilt : List.of(
                    Torch.zeros(2, 1), Torch.zeros(1), Torch.zeros(4, 1), Torch.zeros(0), mean.to(DType.FLOAT64))) {
                illegalArgument(
                        "layerNormBackward: mean is", () -> Torch.layerNormBackward(gradient, input, spoilt, rstd));
                illegalArgument(
                        "layerNormBackward: rstd is", () -> Torch.layerNormBackward(gradient, input, mean, spoilt));
            }
            for (Tensor spoilt : List.of(
                    random.normal(2, 4),
                    random.normal(3, 3),
                    random.normal(12),
                    random.normal(4, 3),
                    gradient.to(DType.FLOAT64))) {
                illegalArgument(
                        "layerNormBackward: gradient", () -> Torch.layerNormBackward(spoilt, input, mean, rstd));
            }
        }
    }

    /** libtorch reads the gradient as if it were contiguous: views gave the values of other elements. */
    @Test
    void layerNormBackwardReadsViewsAsTheyAre() {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(4)) {
            Tensor input = random.normal(4, 4);
            Tensor view = random.normal(4, 4).transpose(0, 1);
            Torch.Normalised normal = Torch.layerNorm(input, 1e-6);
            Tensor mean = Torch.stack(2, normal.mean(), normal.mean()).select(2, 0);
            assertArrayEquals(
                    Torch.layerNormBackward(view.contiguous(), input, normal.mean(), normal.rstd())
                            .toFloatArray(),
                    Torch.layerNormBackward(view, input, mean, normal.rstd()).toFloatArray());
        }
    }

    @Test
    void backwardOperatorsDoNotBroadcast() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor input = Torch.zeros(2, 3);
            for (Tensor gradient : List.of(Torch.zeros(3), Torch.zeros(2, 1), Torch.zeros(1, 2, 3), Torch.zeros())) {
                illegalArgument("siluBackward: gradient has shape", () -> Torch.siluBackward(gradient, input));
                illegalArgument("geluTanhBackward: gradient has shape", () -> Torch.geluTanhBackward(gradient, input));
                illegalArgument("tanhBackward: gradient has shape", () -> Torch.tanhBackward(gradient, input));
                illegalArgument("softmaxBackward: gradient has shape", () -> Torch.softmaxBackward(gradient, input, 0));
            }
            illegalArgument(
                    "softmaxBackward: gradient is", () -> Torch.softmaxBackward(input.to(DType.FLOAT64), input, 0));
        }
    }

    /** The CPU's fused kernel takes the number of keys from the values, and read past the end of fewer keys. */
    @Test
    void attentionHasAsManyKeysAsValues() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor query = Torch.zeros(1, 2, 5, 8);
            Tensor keys = Torch.zeros(1, 2, 3, 8);
            assertEquals(
                    Shape.of(1, 2, 5, 8),
                    Torch.scaledDotProductAttention(query, keys, keys).shape());
            for (Tensor other : List.of(
                    Torch.zeros(1, 2, 4, 8),
                    Torch.zeros(2, 2, 3, 8),
                    Torch.zeros(1, 1, 3, 8),
                    Torch.zeros(1, 2, 3, 4),
                    Torch.zeros(2, 3, 8),
                    Torch.zeros())) {
                illegalArgument("fusedAttention: query", () -> Torch.fusedAttention(query, keys, other));
                illegalArgument(
                        "scaledDotProductAttention: query", () -> Torch.scaledDotProductAttention(query, keys, other));
                illegalArgument(
                        "scaledDotProductAttention: query", () -> Torch.scaledDotProductAttention(query, other, keys));
            }
        }
    }

    @Test
    void labelsAreIndicesWithinTheClasses() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor logits = Torch.zeros(2, 3);
            for (Tensor labels : List.of(
                    Torch.zeros(2, 3),
                    Torch.zeros(2),
                    Torch.of(new long[] {0}),
                    Torch.of(new long[] {0, 1, 2}),
                    Torch.of(new long[] {0, 1}, 2, 1))) {
                illegalArgument("crossEntropy: labels are", () -> Torch.crossEntropy(logits, labels, 0));
            }
            for (long label : new long[] {3, -1, Long.MAX_VALUE, Long.MIN_VALUE}) {
                Tensor index = Torch.of(new long[] {0, label});
                List<Executable> reads = List.of(
                        () -> Torch.crossEntropy(logits, index, 0),
                        () -> Torch.embedding(logits.transpose(0, 1), index),
                        () -> logits.indexSelect(1, index),
                        () -> logits.gather(1, index.view(2, 1)));
                for (Executable read : reads) {
                    assertThrows(TensorException.class, read, "label " + label);
                }
            }
        }
    }

    @Test
    void windowsOverImagesAreChecked() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor image = Torch.zeros(1, 4, 5, 6);
            Tensor weight = Torch.zeros(2, 4, 3, 3);
            long[] one = {1, 1};
            long[] none = {0, 0};
            for (long[] stride : new long[][] {{0, 1}, {1, -1}, {1}, {1, 1, 1}, {1, Long.MAX_VALUE}}) {
                illegalArgument("conv2d: input is", () -> Torch.conv2d(image, weight, null, stride, none, 1));
            }
            for (long[] padding : new long[][] {{-1, 0}, {0}, {0, Long.MAX_VALUE}}) {
                illegalArgument("conv2d: input is", () -> Torch.conv2d(image, weight, null, one, padding, 1));
            }
            long huge = Integer.MAX_VALUE;
            illegalArgument(
                    "more elements than memory",
                    () -> Torch.conv2d(image, weight, null, one, new long[] {huge, huge}, 1));
            for (long groups : new long[] {0, -1, 3, Long.MIN_VALUE}) {
                illegalArgument("groups of", () -> Torch.conv2d(image, weight, null, one, none, groups));
            }
            illegalArgument("conv2d: input is", () -> Torch.conv2d(image.view(4, 5, 6), weight, null, one, none, 1));
            assertThrows(TensorException.class, () -> Torch.conv2d(image, weight, null, one, none, 2));
            assertThrows(TensorException.class, () -> Torch.conv2d(image, weight, Torch.zeros(3), one, none, 1));
            illegalArgument("maxPool2d: input is", () -> Torch.maxPool2d(image, 2, 0, 0));
            illegalArgument("avgPool2d: input is", () -> Torch.avgPool2d(image, 2, 1, -1, true));
            for (long size : new long[] {0, -1, 7, Long.MAX_VALUE}) {
                assertThrows(TensorException.class, () -> Torch.maxPool2d(image, size, 1, 0), "size " + size);
                assertThrows(TensorException.class, () -> Torch.avgPool2d(image, size, 1, 0, true), "size " + size);
            }
            assertThrows(TensorException.class, () -> Torch.avgPool2d(image, 2, 1, 2, true));
            for (long[] amounts : new long[][] {{1}, {-1, 0}, {0, 0, 0, 0, 0, 0, 0, 0, 1, 1}, {Long.MAX_VALUE, 0}}) {
                illegalArgument("pad: amounts", () -> Torch.pad(image, amounts, 0));
            }
        }
    }

    @Test
    void gainsAndOffsetsFitTheirInput() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor image = Torch.zeros(1, 4, 5, 6);
            Tensor four = Torch.zeros(4);
            Tensor six = Torch.zeros(6);
            List<Tensor> wrong = List.of(
                    Torch.zeros(3), Torch.zeros(1, 4), Torch.zeros(), Torch.zeros(DType.FLOAT64, Device.CPU, 4));
            for (Tensor spoilt : wrong) {
                illegalArgument("groupNorm: weight", () -> Torch.groupNorm(image, 2, spoilt, four, 1e-5));
                illegalArgument("groupNorm: bias", () -> Torch.groupNorm(image, 2, four, spoilt, 1e-5));
                illegalArgument("batchNorm: mean", () -> Torch.batchNorm(image, spoilt, four, four, four, 1e-5));
                illegalArgument("batchNorm: variance", () -> Torch.batchNorm(image, four, spoilt, four, four, 1e-5));
                illegalArgument("batchNorm: weight", () -> Torch.batchNorm(image, four, four, spoilt, four, 1e-5));
                illegalArgument("batchNorm: bias", () -> Torch.batchNorm(image, four, four, four, spoilt, 1e-5));
                illegalArgument("layerNorm: weight", () -> Torch.layerNorm(image, spoilt, six, 1e-5));
                illegalArgument("layerNorm: bias", () -> Torch.layerNorm(image, six, spoilt, 1e-5));
            }
            for (long groups : new long[] {0, -2, 3}) {
                illegalArgument("groups of 4 channels", () -> Torch.groupNorm(image, groups, four, four, 1e-5));
            }
            illegalArgument("groupNorm: input is", () -> Torch.groupNorm(four, 2, four, four, 1e-5));
        }
    }

    @Test
    void anAttentionMaskIsBooleanAndBroadcasts() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor query = Torch.zeros(2, 3, 4, 5);
            Tensor key = Torch.zeros(2, 3, 6, 5);
            List<Tensor> wrong = List.of(
                    Torch.zeros(2, 3, 4, 6),
                    Torch.zeros(6).eq(0),
                    Torch.zeros(1, 1, 4, 5).eq(0),
                    Torch.zeros(1, 2, 3, 4, 6).eq(0),
                    Torch.zeros(2, 2, 4, 6).eq(0));
            for (Tensor mask : wrong) {
                illegalArgument(
                        "scaledDotProductAttention: mask is",
                        () -> Torch.scaledDotProductAttention(query, key, key, mask));
            }
            illegalArgument("causalAttention: query", () -> Torch.causalAttention(query, query, key));
        }
    }

    @Test
    void shapesThatCannotBeCountedAreRefused() {
        long[][] shapes = {{Long.MAX_VALUE, 8}, {1L << 32, 1L << 32}, {1L << 62}, {Long.MIN_VALUE}, {2, -3}};
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(1)) {
            Tensor one = Torch.zeros(1);
            for (long[] shape : shapes) {
                List<Executable> makers = new ArrayList<>(List.of(
                        () -> Torch.zeros(shape),
                        () -> Torch.empty(DType.UINT8, Device.CPU, shape),
                        () -> Torch.full(1, DType.FLOAT32, Device.CPU, shape),
                        () -> random.normal(shape),
                        () -> random.uniform(shape),
                        () -> random.integers(0, 2, shape),
                        () -> Torch.of(new float[1], shape),
                        () -> one.repeat(shape),
                        () -> one.asStrided(shape, new long[shape.length]),
                        () -> new ParameterArena(Map.of("w", Shape.of(shape)), Device.CPU).close()));
                for (Executable maker : makers) {
                    IllegalArgumentException refusal = assertThrows(IllegalArgumentException.class, maker);
                    assertEquals(1, String.valueOf(refusal.getMessage()).lines().count());
                }
            }
            // 0 elements, and sizes whose product wraps round to 0.
            illegalArgument(
                    "more elements than memory can hold", () -> Torch.zeros(0).reshape(1L << 32, 1L << 32));
            illegalArgument("as many strides as sizes", () -> one.asStrided(new long[] {1}, new long[0]));
            illegalArgument("none negative", () -> one.asStrided(new long[] {2}, new long[] {-1}));
            illegalArgument(
                    "stay within memory", () -> one.asStrided(new long[] {3, 3}, new long[] {Long.MAX_VALUE, 2}));
            assertThrows(TensorException.class, () -> one.asStrided(new long[] {2}, new long[] {1}));
            assertThrows(TensorException.class, () -> one.narrow(0, 0, Long.MAX_VALUE));
            assertThrows(TensorException.class, () -> one.narrow(0, Long.MAX_VALUE, 1));
        }
    }

    /** A running sum in float32 was off by 2 % here. */
    @Test
    void theNormOfALargeBufferIsExact() {
        long count = 20_000_003;
        try (TensorScope scope = TensorScope.open()) {
            Tensor large = Torch.full(0.37, DType.FLOAT32, Device.CPU, count);
            double expected = Math.sqrt((double) count) * 0.37f;
            assertEquals(1, large.norm().item() / expected, 2e-5);
            assertEquals(1, large.narrow(0, 3, count - 3).norm().item() / expected, 2e-5);
            assertEquals(1, large.sum().item() / (count * (double) 0.37f), 2e-5);
            assertEquals(1, large.mean().item() / 0.37f, 2e-5);
        }
        try (TensorScope scope = TensorScope.open()) {
            Tensor columns =
                    Torch.full(0.5, DType.BFLOAT16, Device.CPU, 4096, 1030).transpose(0, 1);
            assertEquals(DType.BFLOAT16, columns.norm().dtype());
            assertEquals(1, columns.norm().item() / (0.5 * Math.sqrt(4096 * 1030)), 4e-3);
        }
    }

    /** Small tensors and other types give the same results as before; gradients pass through the rows. */
    @Test
    void theNormOfOtherTensorsIsLibtorchsOwn() {
        long large = (1L << 22) + 5;
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(3)) {
            Tensor small = random.normal(1000, 1000);
            assertEquals(small.unwrap().norm().item_double(), small.norm().item());
            assertEquals(0, Torch.zeros(0).norm().item());
            Tensor exact = random.normal(large).to(DType.FLOAT64);
            assertEquals(exact.unwrap().norm().item_double(), exact.norm().item());
            Tensor leaf = exact.to(DType.FLOAT32).requiresGrad_(true);
            Tensor gradient = Autograd.gradients(leaf.norm(), List.of(leaf)).getFirst();
            assertEquals(1, gradient.norm().item(), 1e-5);
            assertEquals(exact.norm().item(), gradient.mul(leaf.detach()).sum().item(), 1e-2);
        }
    }

    @Test
    void resizingTakesImagesWithPixels() {
        try (TensorScope scope = TensorScope.open()) {
            for (Tensor wrong : List.of(Torch.zeros(2, 3), Torch.zeros(1, 1, 0, 3), Torch.zeros(1, 1, 3, 0))) {
                illegalArgument("upsampleBilinear2d: input is", () -> Torch.upsampleBilinear2d(wrong, 2, 2));
                illegalArgument("upsampleBicubic2d: input is", () -> Torch.upsampleBicubic2d(wrong, 2, 2));
                illegalArgument("interpolateBilinear2d: input is", () -> Torch.interpolateBilinear2d(wrong, 2, 2));
                illegalArgument("interpolateBicubic2d: input is", () -> Torch.interpolateBicubic2d(wrong, 2, 2));
            }
            Tensor images = Torch.zeros(1, 1, 3, 3);
            illegalArgument("new size 0 x 2", () -> Torch.upsampleBicubic2d(images, 0, 2));
            illegalArgument("new size 2 x -1", () -> Torch.interpolateBicubic2d(images, 2, -1));
            assertEquals(4, scope.size());
        }
    }
}
