package org.metaflowmaps.training.plan;

import com.google.common.base.Preconditions;
import java.util.Optional;
import org.metaflowmaps.models.model.Layout;
import org.metaflowmaps.models.model.MlpConfig;
import org.metaflowmaps.models.model.NetworkConfig;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.training.config.OptimizerConfig;
import org.metaflowmaps.training.config.Precision;
import org.metaflowmaps.training.config.TeacherConfig;
import org.metaflowmaps.training.config.TrainConfig;

/**
 * What a training step of a configuration needs, with all its losses. Computed; nothing is started.
 *
 * <p>A teacher's network is assumed to have the trained network's size, without context. Evaluations, pictures, encoding
 * of images and a teacher that is given in Java are not included.
 *
 * @param items of one step, over all passes
 * @param parameters of the trained network
 * @param teacher parameters of a teacher's network; 0 without one
 * @param perItem operations of a step for one item
 * @param memory of a step
 * @param launches of a step on a GPU, without copies
 * @param evaluation operations of one evaluation of the network for one item
 * @param inputGradient operations of the gradient of an evaluation in its inputs, without those of weights
 * @param evaluationLaunches launches of one evaluation without gradients on a GPU
 */
public record StepPlan(
        long items,
        long parameters,
        long teacher,
        Flops perItem,
        StepMemory memory,
        Launches launches,
        double evaluation,
        double inputGradient,
        Launches evaluationLaunches) {
    /** Items, noise, states, targets, and a result of each of two losses; counted. */
    private static final double COPIES = 9.5;

    /** The same of a context. */
    private static final double CONTEXT_COPIES = 2;

    /** Of cuBLAS and cuBLASLt, as libtorch allocates them on the pretend device. */
    private static final double WORKSPACES = 64 * 1024 * 1024;

    private static final LossPasses TANGENT = new LossPasses(0, 0, 1, false, 0, 0, 0, false);

    /**
     * A step's items in equal passes.
     *
     * @param batch items of one pass
     * @param accumulate passes
     */
    public record Split(long batch, long accumulate) {}

    /**
     * Computes the plan of a configuration.
     *
     * @param device where the run would be
     */
    public static StepPlan of(TrainConfig config, Device.Type device) {
        NetworkConfig network = config.model().network();
        NetworkConfig taught = withoutContext(network);
        boolean narrow = config.precision() == Precision.BFLOAT16;
        boolean cpu = device == Device.Type.CPU;
        NetworkCost cost = NetworkCost.of(network, narrow, cpu, config.recompute());
        NetworkCost teacher = NetworkCost.of(taught, narrow, cpu, false);
        LossPasses diagonal = LossPasses.diagonal(config);
        LossPasses consistency = LossPasses.consistency(config);
        double share = config.loss().consistencyShare();
        Flops flops = cost.flops(diagonal)
                .plus(cost.flops(consistency).times(share))
                .plus(new Flops((diagonal.teacher() + share * consistency.teacher()) * teacher.evaluation(), 0, 0));
        long teacherParameters = config.teacher().kind() == TeacherConfig.Kind.NETWORK ? taught.parameterCount() : 0;
        return new StepPlan(
                (long) config.batch() * config.accumulate(),
                network.parameterCount(),
                teacherParameters,
                flops,
                memory(config, device, cost, teacherParameters),
                StepLaunches.of(config, cost, teacher),
                cost.evaluation(),
                // The same products as those of a tangent: each layer's transpose, and the attention's five.
                cost.flops(TANGENT).tangent(),
                cost.silent());
    }

    private static NetworkConfig withoutContext(NetworkConfig network) {
        return switch (network) {
            case TransformerConfig transformer -> transformer.withoutContext();
            case MlpConfig mlp -> mlp.withoutContext();
        };
    }

    private static StepMemory memory(TrainConfig config, Device.Type device, NetworkCost cost, long teacher) {
        NetworkConfig network = config.model().network();
        boolean cpu = device == Device.Type.CPU;
        double weights = 4.0 * network.parameterCount();
        int slices = cpu ? config.slicesOn(Device.CPU) : 1;
        // The map with its replicas and the view with averaged weights each have their own tensor objects.
        double objects = (1.0 + slices) * NetworkConfig.BYTES_PER_TENSOR * network.tensorCount();
        LossPasses largest = LossPasses.diagonal(config);
        LossPasses consistency = LossPasses.consistency(config);
        double item = cost.bytes(largest);
        double other = consistency.isEmpty() ? 0 : config.loss().consistencyShare() * cost.bytes(consistency);
        if (other > item) {
            largest = consistency;
            item = other;
        }
        boolean narrow = config.precision() == Precision.BFLOAT16;
        int converted = config.loss().needsAverage() ? 2 : 1;
        // On a GPU one kernel updates; on the CPU, RAdam's operators need a buffer.
        double buffer = cpu && config.optimizer().kind() == OptimizerConfig.Kind.RADAM ? weights : 0;
        return new StepMemory(
                weights,
                weights * slices,
                2 * weights,
                weights,
                4.0 * teacher,
                narrow ? converted * weights / 2 + 2.0 * teacher : 0,
                cpu ? objects : WORKSPACES,
                narrow ? Math.max(buffer, slices * weights / 2) : buffer,
                item + 4 * copies(network),
                cpu ? 0 : cost.sums(largest),
                cost.spare());
    }

    /** Numbers of an item's copies. */
    private static double copies(NetworkConfig network) {
        return switch (network) {
            case TransformerConfig transformer ->
                (double) transformer.inChannels()
                        * transformer.inputSize()
                        * transformer.inputSize()
                        * copies(transformer.layout());
            case MlpConfig mlp -> mlp.dimension() * copies(mlp.layout());
        };
    }

    private static double copies(Layout layout) {
        return layout == Layout.META_FLOW_MAP ? COPIES + CONTEXT_COPIES : COPIES;
    }

    /** Returns the operations of a step. */
    public Flops flops() {
        return perItem.times((double) items);
    }

    /**
     * Returns the fewest equal passes in which a step fits.
     *
     * @param bytes the device's memory
     * @return empty if not even one item fits
     */
    public Optional<Split> split(double bytes) {
        long largest = memory.largestBatch(bytes);
        if (largest == 0) {
            return Optional.empty();
        }
        long passes = Math.max(1, Math.ceilDiv(items, largest));
        while (items % passes != 0) {
            passes++;
        }
        return Optional.of(new Split(items / passes, passes));
    }

    /**
     * Returns the operations of an Euler step of steered sampling by MFM-G for one item, without its reward: the drift,
     * and draws in one step with their gradients.
     *
     * @param draws for each item, at least 1
     */
    public double steeredStep(int draws) {
        Preconditions.checkArgument(draws > 0, "plan: %s draws, expected at least 1", draws);
        return evaluation + draws * (evaluation + inputGradient);
    }

    /** Returns the bytes of the trained network's weights in float32. */
    public long weightBytes() {
        return 4 * parameters;
    }
}
