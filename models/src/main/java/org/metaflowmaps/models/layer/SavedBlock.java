package org.metaflowmaps.models.layer;

import java.util.List;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/**
 * A block's result, and the activations from which its gradient is computed by hand. Modulated normalisations, the
 * GELU's result and the sum between the block's halves are not stored but computed again.
 *
 * <p>Under {@link Autocast} the same products as in {@link Block#forward} are computed in bfloat16, and so are their
 * gradients.
 */
public final class SavedBlock implements AutoCloseable {
    private final BlockLayers layers;
    private final DType products;
    private final Tensor modulation;
    private final Tensor joined;
    private final Tensor mixed;
    private final Tensor attended;
    private final Tensor hidden;
    private final Tensor mapped;
    private final Dual output;

    /**
     * Gradients of a block's inputs.
     *
     * @param tokens (B, L, D)
     * @param condition (B, D)
     */
    public record Gradient(Tensor tokens, Tensor condition) {}

    /** The gradient of one half x + gate·f(LN(x)·(1 + scale) + shift): of x (B, L, D), the others (B, 1, D). */
    private record Half(Tensor tokens, Tensor shift, Tensor scale, Tensor gate) {}

    /** The backward pass of a half's inner function f. */
    @FunctionalInterface
    private interface Inner {
        Tensor backward(Tensor gradient, Tensor input);
    }

    private SavedBlock(BlockLayers layers, Dual tokens, Dual condition, DType products) {
        this.layers = layers;
        this.products = products;
        Dual modulated = layers.modulation.forward(condition, condition.primal().dtype());
        this.modulation = modulated.primal();
        Dual[] m = modulated.unsqueeze(1).chunk(6, 2);
        Dual input = Block.modulated(tokens, m[0], m[1]);
        Dual joint = layers.qkv.forward(input, products);
        input.close();
        this.joined = joint.primal().requiresGrad_(true);
        Dual mixture = layers.mixed(joint);
        this.mixed = mixture.primal();
        Dual gated = layers.projection.forward(mixture, products);
        this.attended = gated.primal();
        Dual middle = tokens.addcmul(m[2], gated);
        Dual second = Block.modulated(middle, m[3], m[4]);
        Dual inside = layers.first.forward(second, products);
        second.close();
        this.hidden = inside.primal();
        Dual active = inside.geluTanh();
        Dual outside = layers.second.forward(active, products);
        active.close();
        this.mapped = outside.primal();
        this.output = middle.addcmul(m[5], outside);
    }

    static SavedBlock of(BlockLayers layers, Dual tokens, Dual condition) {
        DType type = tokens.primal().dtype();
        Device.Type device = tokens.primal().device().type();
        DType products = Autocast.isOn(device) && type == DType.FLOAT32 ? DType.BFLOAT16 : type;
        // Convert weights here: copies that autocast made without a graph would be reused by passes with one.
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad();
                Autocast exact = Autocast.off(device)) {
            SavedBlock block = new SavedBlock(layers, tokens, condition, products);
            block.output.keptFrom(scope);
            block.owned().forEach(Tensor::retain);
            return block;
        }
    }

    private List<Tensor> owned() {
        return List.of(modulation, joined, mixed, attended, hidden, mapped, output.primal());
    }

    /** Returns the block's result (B, L, D); its value is owned by this object, its tangent by the scope around the pass. */
    public Dual output() {
        return output;
    }

    private static Tensor[] parts(Tensor modulation) {
        return modulation.unsqueeze(1).chunk(6, 2);
    }

    /**
     * Adds the gradients of the block's weights to those of their arena. Call at most once.
     *
     * @param tokens the block's input
     * @param condition the block's condition
     * @param gradient of the result: (B, L, D)
     * @return in the innermost open scope
     */
    public Gradient backward(Tensor tokens, Tensor condition, Tensor gradient) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad();
                Autocast exact = Autocast.off(tokens.device().type())) {
            Tensor[] m = parts(modulation);
            Tensor middle = Torch.addcmul(tokens, m[2], attended);
            Half second = half(middle, m[3], m[4], m[5], mapped, gradient, this::mappedBackward);
            Half first = half(tokens, m[0], m[1], m[2], attended, second.tokens, this::attendedBackward);
            Tensor rates = Torch.cat(2, first.shift, first.scale, first.gate, second.shift, second.scale, second.gate);
            Tensor given = layers.modulation.backward(rates.view(modulation.shape()), condition, condition.dtype());
            return new Gradient(scope.keep(first.tokens), scope.keep(given));
        }
    }

    private static Half half(
            Tensor tokens, Tensor shift, Tensor scale, Tensor gate, Tensor result, Tensor gradient, Inner inner) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor ofGate = gradient.mul(result).sumKeepDim(1);
            Torch.Normalised normal = Torch.layerNorm(tokens, Block.EPS);
            Tensor factor = scale.add(1);
            Tensor ofInput = inner.backward(gradient.mul(gate), Torch.addcmul(shift, normal.output(), factor));
            Tensor exact = ofInput.dtype() == tokens.dtype() ? ofInput : ofInput.to(tokens.dtype());
            Tensor ofShift = exact.sumKeepDim(1);
            Tensor ofScale = exact.mul(normal.output()).sumKeepDim(1);
            Tensor ofTokens = Torch.layerNormBackward(exact.mul_(factor), tokens, normal.mean(), normal.rstd())
                    .add_(gradient);
            return new Half(scope.keep(ofTokens), scope.keep(ofShift), scope.keep(ofScale), scope.keep(ofGate));
        }
    }

    private Tensor mappedBackward(Tensor gradient, Tensor input) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor ofHidden = layers.second.backward(gradient, Torch.geluTanh(hidden), products);
            return scope.keep(layers.first.backward(Torch.geluTanhBackward(ofHidden, hidden), input, products));
        }
    }

    private Tensor attendedBackward(Tensor gradient, Tensor input) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor ofMixed = layers.projection.backward(gradient, mixed, products);
            return scope.keep(layers.qkv.backward(layers.mixedBackward(ofMixed, joined, mixed), input, products));
        }
    }

    @Override
    public void close() {
        owned().forEach(Tensor::close);
    }
}
