package org.metaflowmaps.models.layer;

import java.util.List;
import java.util.Objects;
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
 * GELU's result and the sum between the block's halves are not stored but computed again. If branches are bfloat16 and
 * tokens are not, the input is not stored either, but computed from the result by subtracting what the block had added.
 * That rounds as the tokens' type does, by far less than the branches' type.
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
    private final boolean rebuildsInput;

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
        joint.closeTangent();
        this.mixed = mixture.primal();
        Dual gated = layers.projection.forward(mixture, products);
        mixture.closeTangent();
        this.attended = gated.primal();
        FusedNorm middle = FusedNorm.of(tokens, gated, m[2], m[3], m[4], products);
        gated.closeTangent();
        Dual inside = layers.first.forward(middle.output(), products);
        middle.output().close();
        this.hidden = inside.primal();
        Dual active = inside.geluTanh();
        inside.closeTangent();
        Dual outside = layers.second.forward(active, products);
        active.close();
        this.mapped = outside.primal();
        this.rebuildsInput = products == DType.BFLOAT16 && tokens.primal().dtype() != DType.BFLOAT16;
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

    /** Returns true if {@link #backward} takes the block's result instead of its input. */
    public boolean rebuildsInput() {
        return rebuildsInput;
    }

    /**
     * Adds the gradients of the block's weights to those of their arena. Call at most once.
     *
     * @param tokens the block's input; if {@link #rebuildsInput}, its result, which is overwritten by its input
     * @param condition the block's condition
     * @param gradient of the result: (B, L, D)
     * @return in the innermost open scope
     */
    public Gradient backward(Tensor tokens, Tensor condition, Tensor gradient) {
        try (TensorScope scope = TensorScope.open();
                Autograd.Mode off = Autograd.noGrad();
                Autocast exact = Autocast.off(tokens.device().type())) {
            Tensor[] m = modulation.chunk(6, 1);
            Tensor ofLastGate = sumOfProducts(gradient, mapped);
            if (rebuildsInput) {
                tokens.addcmul_(m[5].unsqueeze(1), mapped, -1);
            }
            mapped.close();
            GatedNorm.Gradients second = through(
                    layers.first,
                    hiddenGradient(gradient, m[5]),
                    new GatedNorm.Input(tokens, attended, m[2], m[3], m[4]),
                    gradient);
            if (rebuildsInput) {
                tokens.addcmul_(m[2].unsqueeze(1), attended, -1);
            }
            Tensor ofMiddle = second.stream();
            GatedNorm.Gradients first = through(
                    layers.qkv,
                    joinedGradient(Objects.requireNonNull(second.branch())),
                    new GatedNorm.Input(tokens, null, null, m[0], m[1]),
                    ofMiddle);
            Tensor rates = Torch.cat(
                    1,
                    first.shift(),
                    first.scale(),
                    Objects.requireNonNull(second.gate()),
                    second.shift(),
                    second.scale(),
                    ofLastGate);
            Tensor given = layers.modulation
                    .backward(rates, condition, layers.modulationType(condition))
                    .to(condition.dtype());
            return new Gradient(scope.keep(first.stream()), scope.keep(given));
        }
    }

    /** Sums over tokens. */
    private static Tensor sumOfProducts(Tensor left, Tensor right) {
        try (TensorScope scope = TensorScope.open()) {
            return scope.keep(left.mul(right).sum(1));
        }
    }

    /** Returns the gradient of GELU's input; its value is then in the place of what was stored. */
    private Tensor hiddenGradient(Tensor gradient, Tensor gate) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor ofMapped;
            try (Tensor product = gradient.mul(gate.unsqueeze(1))) {
                ofMapped = product.to(products);
            }
            Tensor ofActive = layers.second.inputGradient(ofMapped, products);
            GeluTangent.Output both = GeluTangent.on(hidden).forwardOver(hidden, ofActive);
            layers.second.addGradients(ofMapped, both.value(), products);
            hidden.close();
            return scope.keep(both.tangent());
        }
    }

    /** Returns the gradient of queries, keys and values. */
    private Tensor joinedGradient(Tensor gradient) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor ofMixed = layers.projection.backward(gradient, mixed, products);
            return scope.keep(layers.mixedBackward(ofMixed, joined, mixed));
        }
    }

    /**
     * Goes back through a linear layer and the normalisation before it.
     *
     * @param gradient of the layer's result, which is freed
     * @param sumGradient what reaches the sum past the normalisation
     * @return gradients of the normalisation's operands
     */
    private GatedNorm.Gradients through(
            LinearGradient layer, Tensor gradient, GatedNorm.Input input, Tensor sumGradient) {
        try (TensorScope scope = TensorScope.open()) {
            GatedNorm norm = GatedNorm.on(input.stream());
            // Blocks that rebuild their input have the sum in the stream's place.
            GatedNorm.Output normal = norm.forward(rebuildsInput ? input.ofSum() : input, products, Block.EPS);
            layer.addGradients(gradient, normal.output(), products);
            Tensor ofOutput = layer.inputGradient(gradient, products);
            gradient.close();
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

    @Override
    public void close() {
        owned().forEach(Tensor::close);
    }
}
