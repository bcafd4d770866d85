package org.metaflowmaps.steering.finetune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.metaflowmaps.runtime.Refusal.assertRefused;

import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.metaflowmaps.models.model.Condition;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Autograd;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.runtime.HostReads;
import org.metaflowmaps.runtime.NativeMemory;
import org.metaflowmaps.runtime.RandomSource;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.steering.reward.Reward;
import org.metaflowmaps.steering.reward.Tilt;
import org.metaflowmaps.training.data.TrainingData;

/** Fine-tuning of a case with exact values: see {@link OneStateCase}. */
final class FineTuneExactTest {
    private static final int WARM_UP = 256;

    private final long live = NativeMemory.liveTensors();

    @AfterEach
    void nothingIsLeftBehind() {
        assertEquals(live, NativeMemory.liveTensors());
    }

    /** A student with one parameter, and its objective. */
    private static final class Setting implements AutoCloseable {
        final OneStateCase known;
        final OneStateCase.OneNumber student = new OneStateCase.OneNumber();
        final MetaFlowMap map;
        final RandomSource random = RandomSource.seeded(1);
        final FineTuneObjective objective;

        Setting(int items, Reward reward, double strength, FineTuneLoss loss) {
            known = new OneStateCase(items + WARM_UP);
            map = known.map();
            objective =
                    new FineTuneObjective(student, known.base(), map, new Tilt(reward, strength), loss, random, null);
            set(OneStateCase.BASE);
        }

        void set(double value) {
            try (Autograd.Mode off = Autograd.noGrad()) {
                student.v().fill_(value);
            }
        }

        double v() {
            return student.v().item();
        }

        void warmUp() {
            try (TensorScope scope = TensorScope.open()) {
                Tensor labels = Torch.zeros(DType.INT64, Device.CPU, WARM_UP);
                objective.warmUp(new TrainingData.Batch(known.next(WARM_UP), labels), random);
            }
        }

        /** Returns the gradient of one batch for v, and ends the step. */
        double gradient(long batch, long step) {
            try (TensorScope scope = TensorScope.open()) {
                student.parameters().gradients().zero_();
                Autograd.backward(objective
                        .losses(known.draw(batch, step))
                        .getFirst()
                        .compute()
                        .get()
                        .loss());
                objective.stepped(step);
                return student.parameters().gradients().select(0, 0).item();
            }
        }

        /** Trains by stochastic approximation with rate 1/n, which averages. */
        double trained(int batch, int steps) {
            int calm = 8 / batch + 1;
            for (int step = 0; step < steps; step++) {
                set(v() - 0.5 * gradient(batch, step) / (step + calm));
            }
            return v();
        }

        @Override
        public void close() {
            objective.close();
            map.close();
            student.close();
            random.close();
            known.close();
        }
    }

    private static FineTuneLoss loss(FineTuneLoss.Form form) {
        return FineTuneLoss.builder().form(form).build();
    }

    @ParameterizedTest
    @CsvSource({
        "SEMI_GRADIENT, 1, 0", "SEMI_GRADIENT, 8, 0", "SEMI_GRADIENT, 64, 0",
        "WEIGHTED, 1, 0", "WEIGHTED, 8, 0", "WEIGHTED, 64, 0",
        "SEMI_GRADIENT, 1, 100", "SEMI_GRADIENT, 8, 100", "SEMI_GRADIENT, 64, 100",
        "WEIGHTED, 1, 100", "WEIGHTED, 8, 100", "WEIGHTED, 64, 100",
        "GRADIENT_FREE, 8, 0", "REWARD_WEIGHTED, 8, 0"
    })
    void theStudentLearnsTheTiltedDrift(FineTuneLoss.Form form, int batch, double constant) {
        int steps = batch == 1 ? 1500 : batch == 8 ? 400 : 100;
        try (Setting setting = new Setting(steps * batch, OneStateCase.reward(constant), 1, loss(form))) {
            setting.warmUp();
            double v = setting.trained(batch, steps);
            assertEquals(OneStateCase.TILTED, v, 0.05);
        }
    }

    /** Independent of a student's learning rate: the gradient of single items is 0 on average at b*. */
    @Test
    void singleItemsSayNothingAtTheTiltedDrift() {
        int steps = 1500;
        try (Setting setting = new Setting(steps, OneStateCase.reward(0), 1, loss(FineTuneLoss.Form.WEIGHTED))) {
            setting.warmUp();
            double sum = 0;
            setting.set(OneStateCase.TILTED);
            for (int step = 0; step < steps; step++) {
                sum += setting.gradient(1, step);
            }
            Map<String, Double> read = setting.objective.readStatistics();
            double slope = 2 * value(read, "weight/mean") * steps;
            assertEquals(0, sum / slope, 0.03, "the optimum is elsewhere");
            assertEquals(1, value(read, "weight/mean"), 0.15, "k is the log of the mean weight");
            assertTrue(value(read, "weight/ess") < 0.6, "weights are unequal here: " + read);
        }
    }

    private static double value(Map<String, Double> read, String name) {
        return Objects.requireNonNull(read.get(name), name);
    }

    /** The two forms have the same gradient, and after a warm-up a constant in the reward does not change it. */
    @Test
    void formsAndConstantsHaveOneGradient() {
        double[] found = new double[4];
        int i = 0;
        for (FineTuneLoss.Form form : List.of(FineTuneLoss.Form.SEMI_GRADIENT, FineTuneLoss.Form.WEIGHTED)) {
            for (double constant : new double[] {0, 100}) {
                try (Setting setting = new Setting(16, OneStateCase.reward(constant), 1, loss(form))) {
                    setting.warmUp();
                    setting.set(0.7);
                    found[i++] = setting.gradient(16, 0);
                }
            }
        }
        assertTrue(Math.abs(found[0]) > 0.1, "gradient " + found[0]);
        for (double other : found) {
            assertEquals(found[0], other, 1e-4 * Math.abs(found[0]));
        }
    }

    /** The trust region adds the gradient 2κ(v - b). */
    @Test
    void theTrustRegionPullsToTheBase() {
        double kappa = 0.7;
        double[] found = new double[2];
        for (int i = 0; i < 2; i++) {
            FineTuneLoss loss = FineTuneLoss.builder().trust(i == 0 ? 0 : kappa).build();
            try (Setting setting = new Setting(16, OneStateCase.reward(0), 1, loss)) {
                setting.warmUp();
                setting.set(1);
                found[i] = setting.gradient(16, 0);
            }
        }
        assertEquals(2 * kappa * (1 - OneStateCase.BASE), found[1] - found[0], 1e-3);
    }

    /** Weights above the bound are clipped and counted; λ grows over the annealed steps. */
    @Test
    void clippingAndAnnealingAreLogged() {
        FineTuneLoss loss = FineTuneLoss.builder().weightClip(1.5).anneal(3).build();
        try (Setting setting = new Setting(64, OneStateCase.reward(0), 2, loss)) {
            setting.warmUp();
            for (int step = 0; step < 4; step++) {
                setting.gradient(16, step);
                Map<String, Double> read = setting.objective.readStatistics();
                assertEquals(2 * Math.min(1, (step + 1) / 4.0), value(read, "strength"), 1e-12);
                assertTrue(value(read, "weight/clipped") > 0 && value(read, "weight/clipped") < 1, "clipped: " + read);
                assertTrue(value(read, "weight/mean") <= 1.5, "weights: " + read);
            }
            assertTrue(setting.objective.readStatistics().isEmpty(), "a second read is empty");
        }
    }

    /** Minus infinity is an allowed score: the item has weight 0, and the others are not affected. */
    @Test
    void impossibleItemsHaveNoWeight() {
        Reward plain = OneStateCase.reward(0);
        Reward positive = scored(samples -> {
            Tensor score = plain.score(samples, Condition.none());
            return score.maskedFill(samples.reshape(samples.size(0)).lt(0), Double.NEGATIVE_INFINITY);
        });
        try (Setting setting = new Setting(48, positive, 1, loss(FineTuneLoss.Form.SEMI_GRADIENT))) {
            setting.warmUp();
            double gradient = setting.gradient(32, 0);
            assertTrue(Double.isFinite(gradient) && gradient != 0, "gradient " + gradient);
            assertTrue(Double.isFinite(setting.gradient(16, 1)), "the shift stays finite");
        }
    }

    /** A step with a NaN score is skipped, and later steps have the same shifts as without it. */
    @Test
    void aBrokenScoreSpoilsItsStepAlone() {
        Reward plain = OneStateCase.reward(0);
        boolean[] broken = {false};
        Reward reward = scored(samples -> {
            Tensor score = plain.score(samples, Condition.none());
            return broken[0] ? score.mul(Double.NaN) : score;
        });
        double[] after = new double[2];
        for (int i = 0; i < 2; i++) {
            try (Setting setting = new Setting(48, reward, 1, loss(FineTuneLoss.Form.WEIGHTED))) {
                setting.warmUp();
                if (i == 1) {
                    broken[0] = true;
                    assertTrue(Double.isNaN(setting.gradient(16, 0)), "a step to skip");
                    broken[0] = false;
                    setting.known.restart(WARM_UP);
                }
                after[i] = setting.gradient(16, 1);
            }
        }
        assertEquals(after[0], after[1]);
    }

    private static Reward scored(UnaryOperator<Tensor> score) {
        return new Reward() {
            @Override
            public String name() {
                return "of this test";
            }

            @Override
            public Tensor score(Tensor samples, Condition condition) {
                return score.apply(samples);
            }

            @Override
            public boolean takesStates() {
                return true;
            }
        };
    }

    @ParameterizedTest
    @EnumSource(FineTuneLoss.Form.class)
    void aStepReadsNothingBack(FineTuneLoss.Form form) {
        try (Setting setting = new Setting(
                        16,
                        OneStateCase.reward(0),
                        1,
                        loss(form).toBuilder().trust(0.1).weightClip(5).build());
                TensorScope scope = TensorScope.open()) {
            Tensor labels = Torch.zeros(DType.INT64, Device.CPU, 16);
            TrainingData.Batch batch = new TrainingData.Batch(setting.known.next(16), labels);
            setting.student.parameters().gradients();
            long before = HostReads.count();
            FineTuneDraw draw = setting.objective.draw(batch, 0);
            Autograd.backward(
                    setting.objective.losses(draw).getFirst().compute().get().loss());
            setting.objective.stepped(0);
            assertEquals(before, HostReads.count());
            assertTrue(setting.student.parameters().gradients().isFinite().all().item() > 0, "finite");
        }
    }

    @Test
    void whatDoesNotFitIsRefused() {
        Reward flat = new Reward() {
            @Override
            public String name() {
                return "flat";
            }

            @Override
            public Tensor score(Tensor samples, Condition condition) {
                return samples.mean(1);
            }

            @Override
            public boolean isDifferentiable() {
                return false;
            }
        };
        try (OneStateCase.OneNumber map = new OneStateCase.OneNumber();
                RandomSource random = RandomSource.seeded(1)) {
            assertRefused(
                    () -> new FineTuneObjective(
                            map,
                            (time, state, condition) -> state,
                            map,
                            new Tilt(flat, 1),
                            loss(FineTuneLoss.Form.WEIGHTED),
                            random,
                            null),
                    "flat",
                    "gradient_free");
        }
        assertRefused(() -> FineTuneLoss.builder().trust(-1).build(), "trust is -1", "0 (none) or more");
        assertRefused(() -> FineTuneLoss.builder().guidance(0, 1).build(), "guidance is 0", "above 0");
        assertEquals(200, FineTuneLoss.paper(2.5).variance());
        assertEquals(1, FineTuneLoss.paper(2.5).guidance());
        assertEquals(2.5, FineTuneLoss.exact(2.5).guidance());
    }
}
