package org.metaflowmaps.cli.report;

import java.util.List;
import org.metaflowmaps.cli.option.GuidanceOption;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.Noise;
import org.metaflowmaps.models.sampler.RefinementSampler;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;

/** Samples of every class by the refinement sampler. */
public final class ClassSamples {
    private ClassSamples() {}

    /**
     * Makes a row of {@code columns} classes' samples for each number of steps, all from the same initial noise; labels
     * have the guidance scale.
     */
    public static ImageGrid grid(
            MetaFlowMap map,
            double guidance,
            List<String> classNames,
            int[] steps,
            int rowsEach,
            long seed,
            Device device) {
        Shape item = map.itemShape();
        ImageGrid grid = new ImageGrid((int) item.size(0), (int) item.size(1), (int) item.size(2), classNames);
        for (int count : steps) {
            for (int row = 0; row < rowsEach; row++) {
                grid.row(
                        count + (count == 1 ? " step" : " steps"),
                        row(map, guidance, classNames.size(), count, seed + row, device));
            }
        }
        return grid;
    }

    private static float[] row(MetaFlowMap map, double guidance, int classes, int steps, long seed, Device device) {
        try (TensorScope scope = TensorScope.open();
                RandomSource random = RandomSource.seeded(seed, device);
                Autograd.Mode off = Autograd.noGrad()) {
            Tensor labels = Torch.arange(classes).to(device);
            return new RefinementSampler(map, steps)
                    .sample(Noise.of(random, map, classes), GuidanceOption.of(guidance, map, labels))
                    .samples()
                    .toFloatArray();
        }
    }
}
