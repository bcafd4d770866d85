package org.metaflowmaps.training.plan;

import org.metaflowmaps.models.model.Layout;
import org.metaflowmaps.models.model.MlpConfig;

/**
 * Costs of a multilayer perceptron. Launches and bytes were counted on the pretend device (docs/gpu.md) at widths 128 and
 * 256 and depths 1 to 4.
 */
final class MlpCost implements NetworkCost {
    /** Bytes of a number that is small beside the layers': times and results. */
    private static final int SMALL = 800;

    private final MlpConfig config;
    private final boolean narrow;
    private final boolean contextual;

    MlpCost(MlpConfig config, boolean narrow) {
        this.config = config;
        this.narrow = narrow;
        this.contextual = config.layout() == Layout.META_FLOW_MAP;
    }

    @Override
    public double evaluation() {
        // Every weight but the labels' multiplies once per item.
        double labels = config.labelDim() == 0 ? 0 : (config.labelDim() + 1.0) * config.width();
        return 2 * (config.parameterCount() - labels);
    }

    @Override
    public Flops flops(LossPasses passes) {
        double one = evaluation();
        double tangents = passes.tangents() + passes.through();
        double forward = passes.recorded() + passes.through() + passes.silent() + passes.averaged();
        return new Flops(forward * one, tangents * one, 2 * one * (passes.recorded() + 2.0 * passes.through()));
    }

    @Override
    public double bytes(LossPasses passes) {
        double width = config.width();
        if (passes.through() > 0) {
            return width * ((narrow ? 68 : 72) * config.depth() + (narrow ? 108 : 112)) + SMALL;
        }
        double block = narrow ? 20 : 24;
        double outside = (narrow ? 44 : 36) + (passes.tangents() > 0 ? 40 : 0);
        return width * (passes.recorded() * block * config.depth() + outside) + SMALL;
    }

    @Override
    public double sums(LossPasses passes) {
        return 0;
    }

    @Override
    public double spare() {
        return 0;
    }

    @Override
    public Launches launches(LossPasses passes) {
        Launches sum = Launches.NONE;
        if (passes.recorded() + passes.through() > 0) {
            // Sums over a large batch.
            sum = new Launches(13, 0, (7L * config.depth() + 10) / 2);
        }
        if (passes.recorded() > 0) {
            sum = sum.plus(block(narrow ? 31 : 22, 9)).plus(outside(61, 9, 82, 13));
        }
        if (passes.recorded() > 1) {
            sum = sum.plus(block(narrow ? 31 : 22, 9)).plus(outside(36, 9, 41, 13));
        }
        sum = sum.plus(block(narrow ? 9 : 5, 3).plus(outside(4, 3, 4, 3)).times(passes.tangents()));
        sum = sum.plus(
                block(narrow ? 97 : 77, 18).plus(outside(108, 14, 125, 18)).times(passes.through()));
        return sum.plus(silent().times(passes.silent() + passes.averaged()));
    }

    @Override
    public Launches silent() {
        return block(narrow ? 8 : 4, 3).plus(outside(14, 4, 17, 6));
    }

    private Launches block(int kernels, int products) {
        return new Launches(kernels, products, 0).times(config.depth());
    }

    private Launches outside(int kernels, int products, int contextualKernels, int contextualProducts) {
        return contextual ? new Launches(contextualKernels, contextualProducts, 0) : new Launches(kernels, products, 0);
    }
}
