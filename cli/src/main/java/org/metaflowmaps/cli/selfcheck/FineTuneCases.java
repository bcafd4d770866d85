package org.metaflowmaps.cli.selfcheck;

import java.io.IOException;
import java.util.Map;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.FlowMapTransformer;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.finetune.FineTuneDraw;
import org.metaflowmaps.steering.finetune.FineTuneLoss;
import org.metaflowmaps.steering.finetune.FineTuneObjective;
import org.metaflowmaps.steering.reward.Reward;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.training.loss.LossValue;

/** The cases of fine-tuning. */
final class FineTuneCases {
    private FineTuneCases() {}

    /** Returns the loss of the case's draw and the student's gradients. */
    static Map<String, Tensor> compute(Fixture.Case test) throws IOException {
        FlowMapTransformer student = test.fixture().network("student");
        FlowMapTransformer base = test.fixture().network("teacher");
        FlowMapTransformer draws = test.fixture().network("weights");
        double scale = test.numbers().path("reward_scale").asDouble();
        FineTuneLoss loss = FineTuneLoss.builder()
                .form(FineTuneLoss.Form.SEMI_GRADIENT)
                .variance(test.numbers().path("sigma_sq").asDouble(0))
                .build();
        // In this case, items without a label have the draws' scale too.
        Tensor scales = Torch.onesLike(test.in("t"))
                .mul(test.numbers().path("posterior_guidance").asDouble());
        Condition labels = Condition.labelled(test.in("labels"));
        FineTuneDraw draw = new FineTuneDraw(
                0,
                test.in("t"),
                test.in("noise"),
                test.in("x_1"),
                test.in("posterior_noise"),
                labels,
                labels.guided(scales),
                null);
        try (RandomSource unused = RandomSource.seeded(0, draw.time().device());
                MetaFlowMap frozenBase = base.frozen();
                MetaFlowMap frozenDraws = draws.frozen();
                FineTuneObjective objective = new FineTuneObjective(
                        student,
                        new NetworkDrift(frozenBase, false),
                        frozenDraws,
                        new Tilt(new Distance(test.in("reward_target")), scale),
                        loss,
                        unused,
                        null)) {
            LossValue value = objective.losses(draw).getFirst().compute().get();
            Map<String, Tensor> values = SelfcheckCases.gradients(student, value.loss());
            values.put("loss", value.loss());
            return values;
        }
    }

    /** The reward of all cases: minus half the mean square distance to a target. */
    private record Distance(Tensor target) implements Reward {
        @Override
        public String name() {
            return "distance";
        }

        @Override
        public Tensor score(Tensor samples, Condition condition) {
            return samples.sub(target)
                    .square()
                    .reshape(samples.size(0), -1)
                    .mean(1)
                    .mul(-0.5);
        }

        @Override
        public boolean takesStates() {
            return true;
        }
    }
}
