package org.metaflowmaps.cli.command;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.metaflowmaps.cli.option.ClassNames;
import org.metaflowmaps.cli.option.DrawsOption;
import org.metaflowmaps.cli.option.GraphsOption;
import org.metaflowmaps.cli.option.ItemsOption;
import org.metaflowmaps.cli.option.PrecisionOption;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.SmallNetworks;
import org.metaflowmaps.models.sampler.OdeSampler;
import org.metaflowmaps.models.sampler.SamplingListener;
import org.metaflowmaps.models.sampler.TimeGrid;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.pretend.Pretend;
import org.metaflowmaps.runtime.pretend.PretendCuda;
import org.metaflowmaps.steering.particle.BestOfN;
import org.metaflowmaps.steering.reward.PixelDecoder;
import org.metaflowmaps.steering.reward.Reward;
import org.metaflowmaps.steering.reward.RewardContext;
import org.metaflowmaps.steering.reward.RewardSpec;
import org.metaflowmaps.steering.sampler.CorrectionScale;
import org.metaflowmaps.steering.sampler.Dynamics;
import org.metaflowmaps.steering.sampler.Schedule;
import org.metaflowmaps.steering.sampler.SteeredSampler;
import org.metaflowmaps.steering.value.BadScoreException;
import org.metaflowmaps.steering.value.Coefficient;
import org.metaflowmaps.steering.value.KeyedNoise;
import org.metaflowmaps.steering.value.ValueGradient;
import picocli.CommandLine;

/** With {@code --graphs}, what the commands build is captured on a GPU and replayed. */
@Pretend
final class SteerPretendTest {
    private static final Device GPU = Device.cuda(0);
    private static final int STEPS = 6;

    private static SteeringInputs inputs(String... options) throws IOException {
        GraphsOption graphs = new GraphsOption();
        new CommandLine(graphs).parseArgs(options);
        FlowMapTransformer map =
                FlowMapTransformer.zeros(SmallNetworks.transformerConfig(8, 2, 1, 16, 2, 2, 3), GPU.available());
        // Not probed, because the device's values have no meaning.
        Reward reward = RewardSpec.parse("brightness")
                .open(new RewardContext(GPU, Optional.empty(), Optional.empty(), 1, Optional.empty()));
        return new SteeringInputs(
                map,
                new LoadedReward(reward, new PixelDecoder(), null, RewardInputs.NONE, false),
                2,
                new ClassNames(List.of(), map.classes()),
                null,
                ItemsOption.of("0", 1, 1),
                GPU,
                new PrecisionOption().on(GPU),
                graphs);
    }

    /** Draws as a command does; the device computes nothing, so the scores that are read at the end have no meaning. */
    private static PretendCuda.Counters draw(SteeringInputs inputs, int size, SteeringInputs.Sampling sampling) {
        try (TensorScope scope = TensorScope.open()) {
            KeyedNoise noise = KeyedNoise.of(1, 0, size, 1, inputs.map().itemShape(), GPU);
            Condition labels = Condition.labelled(Torch.zeros(DType.INT64, GPU, size));
            return PretendCuda.count(() -> {
                try {
                    sampling.of(noise, labels, SamplingListener.NONE);
                } catch (BadScoreException e) {
                    // Expected here.
                }
            });
        }
    }

    private static SteeringInputs.Sampling steered(SteeringInputs inputs, SteeringMethod method) {
        ValueGradient estimator = inputs.captured(method.estimator(inputs, new DrawsOption(), Coefficient.PAPER));
        SteeredSampler sampler = new SteeredSampler(
                Schedule.always(estimator),
                TimeGrid.linspace(0.01, STEPS),
                Dynamics.ODE,
                CorrectionScale.EXACT,
                Optional.of(inputs.tilt()),
                false);
        return (noise, condition, listener) -> {
            Tensor samples = sampler.sample(noise, condition, listener).samples();
            return new SteeringInputs.Batch(samples, samples, 0);
        };
    }

    /** The first batch replays from its fifth step on, and a smaller last batch too; the host waits once, at the end. */
    @Test
    void everyMethodReplays() throws IOException {
        long live = PretendCuda.read().liveGraphs();
        for (SteeringMethod method : SteeringMethod.values()) {
            String what = method.toString();
            try (SteeringInputs plain = inputs();
                    SteeringInputs inputs = inputs("--graphs")) {
                SteeringInputs.Sampling eager = steered(plain, method);
                SteeringInputs.Sampling captured = steered(inputs, method);
                assertEquals(0, draw(plain, 3, eager).graphLaunches(), what);
                assertEquals(STEPS - 4, draw(inputs, 3, captured).graphLaunches(), what);
                PretendCuda.Counters replayed = draw(inputs, 3, captured);
                assertEquals(STEPS, replayed.graphLaunches(), what);
                assertEquals(0, replayed.products(), what);
                assertEquals(1, replayed.copiesToHost(), what);
                assertEquals(1, replayed.synchronisations(), what);
                assertEquals(STEPS - 4, draw(inputs, 2, captured).graphLaunches(), what);
                assertEquals(STEPS, draw(inputs, 3, captured).graphLaunches(), what);
            }
        }
        assertEquals(live, PretendCuda.read().liveGraphs());
    }

    /** A pool of samples is drawn by one launch for each batch after the fourth. */
    @Test
    void theBestOfManyReplays() throws IOException {
        try (SteeringInputs inputs = inputs("--graphs")) {
            BestOfN best = new BestOfN(inputs.captured(new OdeSampler(inputs.drift(), STEPS)), inputs.tilt(), 14, 2);
            SteeringInputs.Sampling sampling = (noise, condition, listener) -> {
                Tensor samples = best.run(noise, condition).samples();
                return new SteeringInputs.Batch(samples, samples, 0);
            };
            assertEquals(3, draw(inputs, 1, sampling).graphLaunches());
        }
    }
}
