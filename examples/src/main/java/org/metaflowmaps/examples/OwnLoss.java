package org.metaflowmaps.examples;

import java.io.IOException;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.Layout;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.models.model.MlpConfig;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.ParameterArena;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.training.Checkpoints;
import org.metaflowmaps.training.Loss;
import org.metaflowmaps.training.Objective;
import org.metaflowmaps.training.RunListener;
import org.metaflowmaps.training.Trainer;
import org.metaflowmaps.training.TrainerSettings;
import org.metaflowmaps.training.data.MixtureData;
import org.metaflowmaps.training.data.TrainingData;
import org.metaflowmaps.training.loss.LossValue;
import org.metaflowmaps.training.optim.AdamW;
import org.metaflowmaps.training.optim.Optimizer;

/**
 * Trains a flow with a custom loss: flow matching under the pseudo-Huber distance, which is less sensitive to outliers.
 */
public final class OwnLoss {
    private OwnLoss() {}

    /**
     * Prints the loss every hundred steps.
     *
     * @param arguments the number of steps
     */
    public static void main(String[] arguments) throws IOException {
        if (arguments.length != 1) {
            throw new IllegalArgumentException("expected one argument: the number of steps, such as 500");
        }
        long steps = Long.parseLong(arguments[0]);
        try (RandomSource random = RandomSource.seeded(1);
                MetaFlowMap map = MlpConfig.builder()
                        .dimension(2)
                        .width(64)
                        .layout(Layout.FLOW_MAP)
                        .build()
                        .initialised(Device.CPU, random);
                TrainingData data =
                        new MixtureData(List.of(new double[] {-2, 0}, new double[] {2, 0}), 0.1, 1, Device.CPU);
                RobustFlow objective = new RobustFlow(map, random);
                Optimizer optimizer = new AdamW(map.parameters(), 0.9, 0.99, 1e-8, 0);
                Trainer<RobustFlow.Draw> trainer = new Trainer<>(
                        objective,
                        data,
                        List.of(optimizer),
                        Optional.empty(),
                        TrainerSettings.of(steps, 128, step -> 2e-3),
                        Checkpoints.NONE)) {
            trainer.run(new RunListener() {
                @Override
                public void stepped(long step, Trainer.@Nullable Report report) {
                    if (report != null && (step == 1 || step % 100 == 0)) {
                        System.out.printf("step %d, loss %.4f%n", step, report.error(RobustFlow.NAME));
                    }
                }
            });
        }
    }

    /** Flow matching: the velocity at a point between noise and data is the mean of their difference. */
    static final class RobustFlow implements Objective<RobustFlow.Draw> {
        static final String NAME = "robust";

        private final MetaFlowMap map;
        private final RandomSource random;

        /** Makes an objective for a map and a source of noise, which the caller owns. */
        RobustFlow(MetaFlowMap map, RandomSource random) {
            this.map = map;
            this.random = random;
        }

        /**
         * All random numbers of a step.
         *
         * @param time s: (B)
         * @param state between noise and data: (B, 2)
         * @param velocity from noise to data: (B, 2)
         */
        record Draw(Tensor time, Tensor state, Tensor velocity) {}

        @Override
        public Draw draw(TrainingData.Batch batch, long step) {
            try (TensorScope scope = TensorScope.open()) {
                long size = batch.items().size(0);
                Tensor time = random.uniform(size);
                Tensor noise = random.normal(size, 2);
                Tensor state = noise.lerp(batch.items(), time.reshape(size, 1));
                return new Draw(
                        scope.keep(time),
                        scope.keep(state),
                        scope.keep(batch.items().sub(noise)));
            }
        }

        @Override
        public List<Loss> losses(Draw draw) {
            return List.of(new Loss(NAME, () -> {
                Tensor found = map.averageVelocity(
                        draw.time(), draw.time(), draw.state(), Context.unconditional(draw.state(), Condition.none()));
                Tensor loss = found.sub(draw.velocity())
                        .square()
                        .sum(1)
                        .add(1)
                        .sqrt()
                        .sub(1)
                        .mean();
                return new LossValue(loss, loss.detach());
            }));
        }

        @Override
        public List<ParameterArena> parameters() {
            return List.of(map.parameters());
        }

        @Override
        public List<RandomSource> randomSources() {
            return List.of(random);
        }

        @Override
        public void close() {}
    }
}
