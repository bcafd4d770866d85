package org.metaflowmaps.models.model;

import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.layer.Block;
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
    private final Tensor headCondition;
    private final List<SavedBlock> saved = new ArrayList<>();

    private SavedBlocks(int encoderDepth, Tensor embedded, Tensor first, Tensor second) {
        this.encoderDepth = encoderDepth;
        this.embedded = embedded;
        this.first = first;
        this.second = second;
        this.headCondition = second.detach().requiresGrad_(true);
    }

    /**
     * Applies the blocks.
     *
     * @param blocks at least one
     * @param encoderDepth the number of blocks that get {@code first}; the others get {@code second}
     * @param embedded the first block's input (B, L, D)
     * @param first (B, D)
     * @param second (B, D)
     * @return owned by the caller, with the three tensors
     */
    static SavedBlocks of(List<Block> blocks, int encoderDepth, Tensor embedded, Tensor first, Tensor second) {
        SavedBlocks all = new SavedBlocks(encoderDepth, embedded, first, second);
        try {
            for (int i = 0; i < blocks.size(); i++) {
                try (ProfilerRange range = ProfilerRange.layer("block", i)) {
                    all.saved.add(blocks.get(i).save(all.input(i), all.condition(i)));
                }
            }
        } catch (RuntimeException | Error e) {
            all.saved.forEach(SavedBlock::close);
            throw e;
        }
        all.tokens().requiresGrad_(true);
        List.of(embedded, first, second, all.headCondition).forEach(Tensor::retain);
        return all;
    }

    /** Returns the last block's result, a leaf. */
    Tensor tokens() {
        return saved.getLast().output();
    }

    /** Returns the second stage's condition for the head, a leaf. */
    Tensor headCondition() {
        return headCondition;
    }

    private Tensor input(int block) {
        return block == 0 ? embedded : saved.get(block - 1).output();
    }

    private Tensor condition(int block) {
        return block < encoderDepth ? first : second;
    }

    /** Continues a backward pass that has reached the head's two leaves; does nothing if it has not. */
    void backward() {
        try (TensorScope scope = TensorScope.open()) {
            Tensor gradient = Autograd.accumulated(tokens());
            if (gradient == null) {
                return;
            }
            Tensor ofFirst = null;
            Tensor ofSecond = Autograd.accumulated(headCondition);
            while (!saved.isEmpty()) {
                int i = saved.size() - 1;
                try (ProfilerRange range = ProfilerRange.layer("block backward", i);
                        SavedBlock block = saved.getLast()) {
                    SavedBlock.Gradient found = block.backward(input(i), condition(i), gradient);
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
            List<Tensor> outputs = new ArrayList<>(List.of(embedded));
            List<Tensor> gradients = new ArrayList<>(List.of(gradient));
            if (ofFirst != null) {
                outputs.add(first);
                gradients.add(ofFirst);
            }
            if (ofSecond != null) {
                outputs.add(second);
                gradients.add(ofSecond);
            }
            Autograd.backward(outputs, gradients);
        }
    }

    private static Tensor sum(@Nullable Tensor left, Tensor right) {
        return left == null ? right : left.add(right);
    }

    @Override
    public void close() {
        saved.forEach(SavedBlock::close);
        saved.clear();
        List.of(embedded, first, second, headCondition).forEach(Tensor::close);
    }
}
