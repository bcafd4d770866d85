package org.metaflowmaps.training;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.Context;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.TransformerConfig;
import org.metaflowmaps.runtime.Autocast;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.pretend.Pretend;
import org.metaflowmaps.runtime.pretend.PretendCuda;
import org.metaflowmaps.training.config.Configs;
import org.metaflowmaps.training.plan.Launches;
import org.metaflowmaps.training.plan.StepPlan;

/** The plan of a step compared with the step, on the pretend device: launches and memory. */
@Pretend
final class PlanPretendTest {
    private static final Device GPU = Device.cuda(0);
    private static final double GIB = 0x1p30;

    /** Of both, relative. */
    private static final double LAUNCHES = 0.03;

    private static final double MEMORY = 0.05;

    @TempDir
    private Path folder;

    /** Sizes, losses and settings other than those to which the plan's coefficients were fitted. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                "sit-b2/flow model.transformer.hidden_size=384 model.transformer.num_heads=6"
                        + " model.transformer.depth=5 model.transformer.encoder_depth=3",
                "sit-b2/flow model.transformer.hidden_size=384 model.transformer.num_heads=6 model.transformer.depth=5"
                        + " model.transformer.encoder_depth=3 recompute=true optimizer.kind=radam",
                "sit-b2/flow precision=float32 model.transformer.depth=4 model.transformer.encoder_depth=1"
                        + " loss.consistency=improved-mean-flow",
                "sit-b2/flow-map model.transformer.depth=4 model.transformer.encoder_depth=3 recompute=true",
                "sit-b2/flow model.transformer.depth=3 model.transformer.encoder_depth=1 model.transformer.mlp_ratio=3"
                        + " loss.consistency=psd loss.averaged=true loss.diagonal.kind=adaptive",
                "sit-b2/meta-flow-map model.transformer.depth=4 model.transformer.encoder_depth=3"
                        + " loss.consistency=lagrangian",
                "sit-b2/meta-flow-map model.transformer.depth=3 model.transformer.encoder_depth=2"
                        + " loss.consistency=lagrangian loss.through=velocity accumulate=2",
                "sit-b2/meta-flow-map model.transformer.depth=3 model.transformer.encoder_depth=2"
                        + " model.transformer.use_joint_attention=true model.transformer.qk_norm=true",
                "sit-xl2/flow-map model.transformer.depth=6 model.transformer.encoder_depth=4"
                        + " model.transformer.qk_norm=true recompute=true",
                "sit-xl2/flow-map model.transformer.depth=4 model.transformer.encoder_depth=2"
                        + " loss.consistency=terminal-velocity precision=float32 recompute=false"
            })
    void thePlanIsThatOfTheStep(String words) throws IOException {
        List<String> settings = new ArrayList<>(List.of(words.split(" +")));
        String name = settings.removeFirst();
        int small = 16;
        int large = 32;
        String[] more = settings.toArray(String[]::new);
        StepPretendTest.Measured one = StepPretendTest.measure(name, small, folder, more);
        StepPretendTest.Measured two = StepPretendTest.measure(name, large, folder, more);
        double item = (two.peak() - one.peak()) / (large - small);
        double fixed = one.peak() - small * item;
        settings.add("init=null");
        StepPlan plan = StepPlan.of(Configs.load(name, settings).config(), Device.Type.CUDA);
        PretendCuda.Counters step = two.step();
        long submitted = step.launches() + step.products() + step.memsets();
        Launches launches = plan.launches();
        System.out.printf(
                Locale.ROOT,
                "%s: %d kernels (plan %d), %d products (%d), %d fills (%d), %.4f GiB per item (%.4f), %.3f fixed"
                        + " (%.3f)%n",
                words,
                step.launches(),
                launches.kernels(),
                step.products(),
                launches.products(),
                step.memsets(),
                launches.fills(),
                item,
                plan.memory().item() / GIB,
                fixed,
                plan.memory().fixed() / GIB);
        assertEquals((double) submitted, (double) launches.total(), LAUNCHES * submitted, "launches");
        assertEquals((double) step.products(), (double) launches.products(), 0.01 * step.products(), "products");
        // What a run needs, and not its parts, because the allocator gives out up to 1 MiB more than a tensor needs.
        assertEquals(one.peak(), plan.memory().needed(small) / GIB, MEMORY * one.peak(), "memory");
        assertEquals(two.peak(), plan.memory().needed(large) / GIB, MEMORY * two.peak(), "memory");
        double planned = (plan.memory().needed(large) - plan.memory().needed(small)) / GIB / (large - small);
        assertEquals(item, planned, MEMORY * item, "memory per item");
    }

    /** One evaluation of the network, with weights that were converted before. */
    @Test
    void anEvaluationHasTheLaunchesOfThePlan() throws IOException {
        GPU.available();
        for (String name : List.of("sit-b2/flow", "sit-b2/meta-flow-map")) {
            Configs.Resolved resolved =
                    Configs.load(name, List.of("model.transformer.depth=5", "model.transformer.encoder_depth=3"));
            TransformerConfig config =
                    (TransformerConfig) resolved.config().model().network();
            try (TensorScope scope = TensorScope.open();
                    FlowMapTransformer map = FlowMapTransformer.zeros(config, GPU);
                    Autograd.Mode off = Autograd.noGrad();
                    Autocast low = Autocast.bfloat16(Device.Type.CUDA)) {
                Tensor state = Torch.zeros(DType.FLOAT32, GPU, 8, 4, 32, 32);
                Tensor time = Torch.full(0.5, DType.FLOAT32, GPU, 8);
                Context context = Context.unchecked(time, state, Condition.labelled(Torch.zeros(DType.INT64, GPU, 8)));
                map.averageVelocity(time, time, state, context);
                PretendCuda.Counters counted = PretendCuda.count(() -> map.averageVelocity(time, time, state, context));
                Launches plan = StepPlan.of(resolved.config(), Device.Type.CUDA).evaluationLaunches();
                assertEquals(counted.products(), plan.products(), name);
                assertEquals((double) counted.launches(), (double) plan.kernels(), 3, name);
                assertEquals(counted.memsets(), plan.fills(), name);
            }
        }
    }
}
