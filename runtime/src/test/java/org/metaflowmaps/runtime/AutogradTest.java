package org.metaflowmaps.runtime;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.illegalState;
import static org.metaflowmaps.runtime.Refusal.refused;

import java.util.List;
import java.util.concurrent.FutureTask;
import java.util.function.ToDoubleFunction;
import org.junit.jupiter.api.Test;

class AutogradTest {
    private static final double[] X = {0.3, -0.7, 1.1, 0.2, -0.4, 0.9};
    private static final double[] W = {0.5, -0.2, 0.1, 0.8, -0.6, 0.3};

    /** A small network with products, a nonlinearity, a normalisation and a softmax. */
    private static Tensor network(Tensor x, Tensor weight) {
        Tensor hidden = Torch.geluTanh(Torch.linear(x, weight));
        return hidden.softmax(1)
                .mul(Torch.layerNorm(x, 1e-5).output().sumKeepDim(1))
                .add(hidden.square())
                .sum();
    }

    private static double[] differences(double[] at, ToDoubleFunction<double[]> function) {
        double[] gradient = new double[at.length];
        for (int i = 0; i < at.length; i++) {
            double[] up = at.clone();
            double[] down = at.clone();
            up[i] += 1e-5;
            down[i] -= 1e-5;
            gradient[i] = (function.applyAsDouble(up) - function.applyAsDouble(down)) / 2e-5;
        }
        return gradient;
    }

    @Test
    void gradientsAreTheDifferenceQuotients() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor x = Torch.of(X, 2, 3).requiresGrad_(true);
            Tensor w = Torch.of(W, 2, 3).requiresGrad_(true);
            List<Tensor> gradients = Autograd.gradients(network(x, w), List.of(x, w));
            assertEquals(Shape.of(2, 3), gradients.get(1).shape());
            assertFalse(gradients.get(0).requiresGrad());
            assertArrayEquals(
                    differences(X, at -> network(Torch.of(at, 2, 3), w.detach()).item()),
                    gradients.get(0).toDoubleArray(),
                    1e-8);
            assertArrayEquals(
                    differences(W, at -> network(x.detach(), Torch.of(at, 2, 3)).item()),
                    gradients.get(1).toDoubleArray(),
                    1e-8);
        }
    }

    @Test
    void cotangentsAndSecondDerivativesFollowTheirDefinitions() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor x = Torch.of(X).requiresGrad_(true);
            Tensor cotangent = Torch.of(W);
            Tensor first =
                    Autograd.gradientsWithGraph(x.sin(), List.of(x), cotangent).getFirst();
            assertArrayEquals(Reference.zip(X, W, (a, v) -> v * Math.cos(a)), first.toDoubleArray(), 1e-14);
            assertTrue(first.requiresGrad());
            Tensor plain = Autograd.gradients(x.sin(), List.of(x), cotangent).getFirst();
            assertArrayEquals(first.toDoubleArray(), plain.toDoubleArray());
            assertFalse(plain.requiresGrad());
            Tensor second = Autograd.gradients(first.sum(), List.of(x)).getFirst();
            assertArrayEquals(Reference.zip(X, W, (a, v) -> -v * Math.sin(a)), second.toDoubleArray(), 1e-14);
            refused(TensorException.class, "scalar", () -> Autograd.gradients(x.sin(), List.of(x)));
        }
    }

    @Test
    void anInputWithoutPartInTheOutputIsRefused() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor x = Torch.of(X).requiresGrad_(true);
            Tensor idle = Torch.of(W).requiresGrad_(true);
            refused(TensorException.class, "gradients failed", () -> Autograd.gradients(x.sum(), List.of(x, idle)));
        }
    }

    @Test
    void modesRestoreWhatTheyFound() {
        assertTrue(Autograd.isRecording());
        try (TensorScope scope = TensorScope.open()) {
            Tensor x = Torch.of(X).requiresGrad_(true);
            assertTrue(x.add(1).requiresGrad());
            try (Autograd.Mode off = Autograd.noGrad()) {
                assertFalse(Autograd.isRecording());
                assertFalse(x.add(1).requiresGrad());
                try (Autograd.Mode on = Autograd.enableGrad()) {
                    assertTrue(x.add(1).requiresGrad());
                    try (Autograd.Mode again = Autograd.noGrad()) {
                        assertFalse(Autograd.isRecording());
                    }
                    assertTrue(Autograd.isRecording());
                }
                try (Autograd.Mode inference = Autograd.inference()) {
                    assertTrue(x.add(1).unwrap().is_inference());
                }
                assertFalse(Autograd.isRecording());
                assertFalse(x.add(1).unwrap().is_inference());
            }
            assertTrue(Autograd.isRecording());
            try (Autograd.Mode inference = Autograd.inference()) {
                assertFalse(Autograd.isRecording());
                try (Autograd.Mode off = Autograd.noGrad()) {
                    assertFalse(Autograd.isRecording());
                }
            }
            assertTrue(x.add(1).requiresGrad());
        }
    }

    @Test
    void inferenceTensorsTakePartInNoGradient() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor x = Torch.of(X).requiresGrad_(true);
            Tensor made;
            try (Autograd.Mode inference = Autograd.inference()) {
                made = x.exp();
            }
            assertArrayEquals(Reference.map(X, Math::exp), made.toDoubleArray(), 1e-14);
            refused(
                    TensorException.class,
                    "mul failed on float64[6] and float64[6]: Inference tensors cannot be saved",
                    () -> x.mul(made));
        }
    }

    @Test
    void modesBelongToTheirThreadAndItsExceptions() throws Exception {
        try (Autograd.Mode off = Autograd.noGrad()) {
            FutureTask<Boolean> other = new FutureTask<>(() -> {
                illegalState("close it there", off::close);
                return Autograd.isRecording();
            });
            Thread.ofPlatform().start(other);
            assertTrue(other.get());
            assertFalse(Autograd.isRecording());
            off.close();
            assertTrue(Autograd.isRecording());
        }
        assertTrue(Autograd.isRecording());
        assertThrows(IllegalCallerException.class, () -> {
            try (Autograd.Mode off = Autograd.noGrad()) {
                throw new IllegalCallerException();
            }
        });
        assertTrue(Autograd.isRecording());
    }

    @Test
    void detachCutsTheGraph() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor x = Torch.of(X).requiresGrad_(true);
            Tensor gradient =
                    Autograd.gradients(x.mul(x.detach()).sum(), List.of(x)).getFirst();
            assertArrayEquals(X, gradient.toDoubleArray());
            assertFalse(x.square().detach().requiresGrad());
        }
    }
}
