package org.metaflowmaps.steering.sampler;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.sampler.Solver;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.steering.UnlabelledData;
import org.metaflowmaps.steering.sampler.MixtureSteering.Method;
import org.metaflowmaps.steering.value.Coefficient;
import org.metaflowmaps.training.TrainingRun;
import org.metaflowmaps.training.config.Configs;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.data.MixtureData;
import org.metaflowmaps.training.data.TrainingData;

/**
 * The table of {@link MixtureSteeringTest} with a map trained by {@code mixture/distill} and that map's own drift: what
 * training adds to the error of the estimators.
 */
@Tag("soak")
final class TrainedMapSteeringTest {
    private static final Coefficient UNCLAMPED = new Coefficient(Double.POSITIVE_INFINITY);
    private static final int SAMPLES = 1024;
    private static final int SEEDS = 2;
    private static final int MOST_DRAWS = 16;

    @TempDir
    private Path folder;

    /** More draws bring every method nearer to the tilted law, as with the exact map. */
    @Test
    void moreDrawsComeNearer() throws IOException {
        try (MixtureSteering mixture = new MixtureSteering(trained())) {
            System.out.println("N  MFM-G ODE  MFM-GF ODE  MFM-G SDE  MFM-GF SDE");
            double[] last = new double[4];
            for (int draws = 1; draws <= MOST_DRAWS; draws *= 4) {
                StringBuilder line = new StringBuilder(Integer.toString(draws));
                int column = 0;
                for (boolean ode : new boolean[] {true, false}) {
                    for (Method method : new Method[] {Method.MFM_G, Method.MFM_GF}) {
                        double found = mean(mixture, method, draws, ode);
                        line.append(String.format(Locale.ROOT, "  %.2f", found));
                        assertTrue(draws == 1 || found < last[column], line + " after " + last[column]);
                        last[column++] = found;
                    }
                }
                System.out.println(line);
            }
        }
    }

    private static double mean(MixtureSteering mixture, Method method, int draws, boolean ode) {
        double sum = 0;
        for (int seed = 1; seed <= SEEDS; seed++) {
            sum += mixture.distance(
                    mixture.estimator(method, draws, UNCLAMPED),
                    ode ? new Dynamics.Ode(Solver.EULER) : new Dynamics.Sde(UNCLAMPED, false),
                    250,
                    SAMPLES,
                    seed);
        }
        return sum / SEEDS;
    }

    private MetaFlowMap trained() throws IOException {
        TrainConfig config = Configs.load(
                        "mixture/distill",
                        List.of(
                                "model.mlp.label_dim=0",
                                "model.mlp.width=64",
                                "loss.consistency=shortcut",
                                "times.pair.kind=dyadic",
                                "steps=6000",
                                "optimizer.decay=4200"))
                .config();
        try (TrainingData data = new UnlabelledData(new MixtureData(
                        List.of(new double[] {-3, -3}, new double[] {0, 0}, new double[] {3, 3}),
                        0.5,
                        config.seed(),
                        Device.CPU));
                TrainingRun run = new TrainingRun(config, data, Device.CPU, folder)) {
            run.run();
            return run.averaged().copy(DType.FLOAT32);
        }
    }
}
