package org.metaflowmaps.training.plan;

import org.metaflowmaps.models.model.MlpConfig;
import org.metaflowmaps.models.model.NetworkConfig;
import org.metaflowmaps.models.model.TransformerConfig;

/** What the evaluations of a network cost. */
sealed interface NetworkCost permits TransformerCost, MlpCost {
    /**
     * Returns the costs of a network.
     *
     * @param narrow true if products are in bfloat16, by autocast
     * @param cpu true on the CPU, which computes attention in float32
     * @param taped true if blocks without joint attention store what
     *     {@link org.metaflowmaps.models.model.BlockTape} needs
     */
    static NetworkCost of(NetworkConfig network, boolean narrow, boolean cpu, boolean taped) {
        return switch (network) {
            case TransformerConfig transformer -> new TransformerCost(transformer, narrow, cpu, taped);
            case MlpConfig mlp -> new MlpCost(mlp, narrow);
        };
    }

    /** Returns the operations of one evaluation of one item. */
    double evaluation();

    /** Returns the operations of a loss for one item, without those of a teacher. */
    Flops flops(LossPasses passes);

    /** Returns the most bytes of a loss for one item, besides the item's own copies. */
    double bytes(LossPasses passes);

    /** Returns the bytes of a loss for one item that do not grow further from {@link StepMemory#MOST_SUMS} on. */
    double sums(LossPasses passes);

    /** Returns the bytes of an item that are free while those sums are computed. */
    double spare();

    /** Returns the launches of a loss, without those of a teacher. */
    Launches launches(LossPasses passes);

    /** Returns the launches of one evaluation without a graph. */
    Launches silent();
}
