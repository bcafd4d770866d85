package org.metaflowmaps.models.layer;

import java.util.List;
import java.util.Objects;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.kernel.GatedNorm;
import org.metaflowmaps.runtime.kernel.GeluTangent;

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

    private SavedBlock(BlockLayers layers, Dual tokens, Dual condition, DType products) {
        this.layers = layers;
        this.products = products;
        Dual modulated = layers.modulation
                .forward(condition, layers.modulationType(condition.primal()))
                .to(condition.primal().dtype());
        this.modulation = modulated.primal();
        Dual[] m = modulated.chunk(6, 1);
        Dual input = FusedNorm.of(tokens, null, null, m[0], m[1], products).output();
        Dual joint = layers.qkv.forward(input, products);
        input.close();
        this.joined = joint.primal().requiresGrad_(true);
        Dual mixture = layers.mixed(joint);
        this.mixed = mixture.primal();
        Dual gated = layers.projection.forward(mixture, products);
        this.attended = gated.primal();
        FusedNorm middle = FusedNorm.of(tokens, gated, m[2], m[3], m[4], products);
        Dual inside = layers.first.forward(middle.output(), products);
        middle.output().close();
        this.hidden = inside.primal();
        Dual active = inside.geluTanh();
        Dual outside = layers.second.forward(active, products);
        active.close();
        this.mapped = outside.primal();
        this.output = middle.sum().addcmul(m[5].unsqueeze(1), outside);
    }

    static SavedBlock of(BlockLayers layers, Dual tokens, Dual condition) {
        Device.Type device = tokens.primal().device().type();
        DType products = layers.first.products();
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
            Tensor[] m = modulation.chunk(6, 1);
            GatedNorm.Gradients second = half(
                    new GatedNorm.Input(tokens, attended, m[2], m[3], m[4]),
                    gradient,
                    input -> mappedBackward(gradient.mul(m[5].unsqueeze(1)), input));
            Tensor ofMiddle = second.stream();
            Tensor ofAttended = Objects.requireNonNull(second.branch());
            GatedNorm.Gradients first = half(
                    new GatedNorm.Input(tokens, null, null, m[0], m[1]),
                    ofMiddle,
                    input -> attendedBackward(ofAttended, input));
            Tensor rates = Torch.cat(
                    1,
                    first.shift(),
                    first.scale(),
                    Objects.requireNonNull(second.gate()),
                    second.shift(),
                    second.scale(),
                    gradient.mul(mapped).sum(1));
            Tensor given = layers.modulation
                    .backward(rates, condition, layers.modulationType(condition))
                    .to(condition.dtype());
            return new Gradient(scope.keep(first.stream()), scope.keep(given));
        }
    }

    /**
     * Returns the gradients of a normalisation's operands.
     *
     * @param sumGradient what reaches the sum past the normalisation
     * @param inner returns the gradient of the normalisation's result, which it gets
     */
    private GatedNorm.Gradients half(GatedNorm.Input input, Tensor sumGradient, UnaryOperator<Tensor> inner) {
        try (TensorScope scope = TensorScope.open()) {
            GatedNorm norm = GatedNorm.on(input.stream());
            GatedNorm.Output normal = norm.forward(input, products, Block.EPS);
            Tensor ofOutput = inner.apply(normal.output());
            GatedNorm.Gradients found = norm.backward(input, normal, ofOutput, sumGradient);
            for (Tensor tensor :
                    new @Nullable Tensor[] {found.stream(), found.branch(), found.gate(), found.shift(), found.scale()
                    }) {
                if (tensor != null) {
                    scope.keep(tensor);
                }
            }
            return found;
        }
    }

    private Tensor mappedBackward(Tensor gradient, Tensor input) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor ofActive = layers.second.inputGradient(gradient, products);
            GeluTangent.Output both = GeluTangent.on(hidden).forward(hidden, ofActive);
            layers.second.addGradients(gradient, both.value(), products);
            return scope.keep(layers.first.backward(both.tangent(), input, products));
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
