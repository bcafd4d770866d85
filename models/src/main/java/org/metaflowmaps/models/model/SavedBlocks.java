package org.metaflowmaps.models.model;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.layer.Block;
import org.metaflowmaps.models.layer.Dual;
import org.metaflowmaps.models.layer.SavedBlock;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.ProfilerRange;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;

/**
 * The blocks of one evaluation, between two gradient graphs: that of the embeddings, whose results are the blocks'
 * inputs, and that of the head, which starts at two leaves.
 */
final class SavedBlocks implements AutoCloseable {
    private final int encoderDepth;
    private final Tensor embedded;
    private final Tensor first;
    private final Tensor second;
    private final Dual headCondition;
    private final List<SavedBlock> saved = new ArrayList<>();

    private SavedBlocks(int encoderDepth, Tensor embedded, Tensor first, Dual second) {
        this.encoderDepth = encoderDepth;
        this.embedded = embedded;
        this.first = first;
        this.second = second.primal();
        this.headCondition = with(this.second.detach().requiresGrad_(true), second.tangent());
    }

    private static Dual with(Tensor primal, @Nullable Tensor tangent) {
        return tangent == null ? Dual.constant(primal) : Dual.of(primal, tangent);
    }

    /**
     * Applies the blocks; tangents of the results belong to the innermost open scope or are the arguments'.
     *
     * @param blocks at least one
     * @param encoderDepth the number of blocks that get {@code first}; the others get {@code second}
     * @param embedded the first block's input (B, L, D)
     * @param first (B, D)
     * @param second (B, D)
     * @return owned by the caller, with the three values
     */
    static SavedBlocks of(List<Block> blocks, int encoderDepth, Dual embedded, Dual first, Dual second) {
        SavedBlocks all = new SavedBlocks(encoderDepth, embedded.primal(), first.primal(), second);
        Dual tokens = embedded;
        try {
            for (int i = 0; i < blocks.size(); i++) {
                Tensor before = tokens.tangent();
                try (ProfilerRange range = ProfilerRange.layer("block", i)) {
                    all.saved.add(blocks.get(i).save(tokens, i < encoderDepth ? first : second));
                }
                tokens = all.tokens();
                if (before != null) {
                    before.close();
                }
                if (i > 0 && all.saved.getLast().rebuildsInput()) {
                    all.saved.get(i - 1).output().primal().close();
                }
            }
        } catch (RuntimeException | Error e) {
            all.saved.forEach(SavedBlock::close);
            throw e;
        }
        tokens.primal().requiresGrad_(true);
        List.of(all.embedded, all.first, all.second, all.headCondition.primal()).forEach(Tensor::retain);
        return all;
    }

    /** Returns the last block's result, whose value is a leaf. */
    Dual tokens() {
        return saved.getLast().output();
    }

    /** Returns the second stage's condition for the head, whose value is a leaf. */
    Dual headCondition() {
        return headCondition;
    }

    private Tensor input(int block) {
        return block == 0 ? embedded : saved.get(block - 1).output().primal();
    }

    private Tensor condition(int block) {
        return block < encoderDepth ? first : second;
    }

    /**
     * Continues a backward pass that has reached the head's two leaves; does nothing if it has not.
     *
     * @param keepGraph true if another pass may go through the graphs of this evaluation's inputs
     */
    void backward(boolean keepGraph) {
        try (TensorScope scope = TensorScope.open()) {
            Tensor gradient = Autograd.accumulated(tokens().primal());
            if (gradient == null) {
                return;
            }
            // The last block's result, which blocks that rebuild their inputs overwrite, one after the other.
            Tensor stream = saved.getLast().rebuildsInput() ? tokens().primal().detach() : null;
            Tensor ofFirst = null;
            Tensor ofSecond = Autograd.accumulated(headCondition.primal());
            while (!saved.isEmpty()) {
                int i = saved.size() - 1;
                try (ProfilerRange range = ProfilerRange.layer("block backward", i);
                        SavedBlock block = saved.getLast()) {
                    SavedBlock.Gradient found =
                            block.backward(stream == null ? input(i) : stream, condition(i), gradient);
                    gradient.close();
                    gradient = found.tokens();
                    if (i < encoderDepth) {
                        ofFirst = sum(ofFirst, found.condition());
                    } else {
                        ofSecond = sum(ofSecond, found.condition());
                    }
                }
                saved.removeLast();
            }
            List<Tensor> outputs = new ArrayList<>();
            List<Tensor> gradients = new ArrayList<>();
            add(outputs, gradients, embedded, gradient);
            add(outputs, gradients, first, ofFirst);
            add(outputs, gradients, second, ofSecond);
            if (outputs.isEmpty()) {
                return;
            }
            if (keepGraph) {
                Autograd.backwardKeepingGraph(outputs, gradients);
            } else {
                Autograd.backward(outputs, gradients);
            }
        }
    }

    /** Adds an input of the blocks that depends on what varies. */
    private static void add(List<Tensor> outputs, List<Tensor> gradients, Tensor input, @Nullable Tensor gradient) {
        if (gradient != null && input.requiresGrad()) {
            outputs.add(input);
            gradients.add(gradient);
        }
    }

    private static Tensor sum(@Nullable Tensor left, Tensor right) {
        return left == null ? right : left.add(right);
    }

    @Override
    public void close() {
        saved.forEach(SavedBlock::close);
        saved.clear();
        List.of(embedded, first, second, headCondition.primal()).forEach(Tensor::close);
    }
}
