package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import org.metaflowmaps.cli.report.ImageGrid;
import org.metaflowmaps.cli.report.RewardRow;
import org.metaflowmaps.cli.report.RunProgress;
import org.metaflowmaps.models.checkpoint.LoadedNetwork;
import org.metaflowmaps.models.checkpoint.NetworkSettings;
import org.metaflowmaps.models.checkpoint.Networks;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.TensorScope;
import org.metaflowmaps.steering.finetune.FineTuneConfig;
import org.metaflowmaps.steering.finetune.FineTuneLoss;
import org.metaflowmaps.steering.finetune.FineTuning;
import org.metaflowmaps.steering.reward.RewardSpec;
import org.metaflowmaps.training.CheckpointFolder;
import org.metaflowmaps.training.data.TrainingData;

/**
 * The quickstart's short fine-tuning of the trained map, and samples before and after from the same noise.
 *
 * @param base gives the trained map, the reward, and the samples' number, seed and device
 * @param steps of the optimiser
 * @param folder for the fine-tuned map
 */
record QuickstartFineTuning(QuickstartSteering base, long steps, Path folder) {
    private static final double STRENGTH = 20;
    private static final List<String> SETTINGS = List.of(
            "batch=32", "learning_rate=3e-4", "warm_up=10", "average_start=0", "average_decay=0.9", "log_every=10");
    private static final int SHOWN = 2;

    /** Rewards before and after, for all classes, the seconds of the fine-tuning, and samples of each class. */
    record Result(RewardRow before, RewardRow after, double seconds, ImageGrid picture) {}

    /** Fine-tunes and draws; empty if the run was stopped. */
    Optional<Result> run(TrainingData data) throws IOException {
        long started = System.nanoTime();
        try (LoadedNetwork network = Networks.open(base.checkpoint(), NetworkSettings.none(), base.device());
                LoadedReward reward = LoadedReward.of(
                        RewardSpec.parse(QuickstartSteering.REWARD), network.map(), base.seed(), base.device());
                FineTuning run = new FineTuning(
                        network, data, reward.tilt(STRENGTH), config(), Optional.empty(), base.device(), folder);
                GracefulStop stop = new GracefulStop(run::stop)) {
            if (!run.run(new RunProgress())) {
                return Optional.empty();
            }
        }
        double seconds = (System.nanoTime() - started) * 1e-9;
        try (SteeringInputs before = base.open(base.checkpoint(), "");
                SteeringInputs after = base.open(new CheckpointFolder(folder).newest(), "")) {
            List<RewardRow> rows = new ArrayList<>();
            SteeringInputs.Drawn plain = QuickstartSteering.best(before, "before", 1, rows);
            SteeringInputs.Drawn tuned = QuickstartSteering.best(after, "after", 1, rows);
            return Optional.of(new Result(rows.getFirst(), rows.getLast(), seconds, picture(plain, tuned)));
        }
    }

    private FineTuneConfig config() {
        return FineTuneSettings.with(
                FineTuneConfig.builder()
                        .steps(steps)
                        .seed(base.seed())
                        .loss(FineTuneLoss.exact(base.guidance()))
                        .build(),
                SETTINGS);
    }

    private ImageGrid picture(SteeringInputs.Drawn before, SteeringInputs.Drawn after) {
        Shape item = before.samples().shape();
        ImageGrid grid = new ImageGrid((int) item.size(1), (int) item.size(2), (int) item.size(3), base.names());
        for (int i = 0; i < Math.min(SHOWN, base.count()); i++) {
            grid.row("before", pixels(before, i)).row("after", pixels(after, i));
        }
        return grid;
    }

    /** Returns one sample of each class. */
    private float[] pixels(SteeringInputs.Drawn drawn, int sample) {
        try (TensorScope scope = TensorScope.open()) {
            Shape shape = drawn.samples().shape();
            Tensor classes = drawn.samples()
                    .reshape(base.names().size(), base.count(), shape.size(1), shape.size(2), shape.size(3));
            return classes.select(1, sample).contiguous().toFloatArray();
        }
    }

    /** Returns what was done. */
    String title(double seconds) {
        return steps + String.format(Locale.ROOT, " steps in %.0f s towards ", seconds) + QuickstartSteering.REWARD
                + " with lambda " + STRENGTH + "; then "
                + QuickstartSteering.STEPS + " Euler steps of each map's drift from the same noise, "
                + base.count() + " samples of each class.";
    }

    /** Returns the commands that repeat the fine-tuning and its samples' rewards. */
    List<String> commands(String mfm) {
        String samples = " --reward " + QuickstartSteering.REWARD + " --count " + base.count() + " --seed "
                + base.seed() + " --steps " + QuickstartSteering.STEPS + " --pool 1";
        return List.of(
                command(mfm, folder.resolveSibling("finetuned-again")),
                mfm + " best-of " + TrainCommand.quoted(base.checkpoint().toString()) + samples,
                mfm + " best-of "
                        + TrainCommand.quoted(
                                folder.resolve(CheckpointFolder.CHECKPOINT).toString()) + samples);
    }

    /** Returns the command that continues a stopped run. */
    String resumption(String mfm) {
        return command(mfm, folder) + " --resume";
    }

    private String command(String mfm, Path out) {
        return mfm + " finetune " + TrainCommand.quoted(base.checkpoint().toString()) + " --reward "
                + QuickstartSteering.REWARD + " --lambda " + STRENGTH + " --steps " + steps + " --out "
                + TrainCommand.quoted(out.toString()) + " seed=" + base.seed() + " " + String.join(" ", SETTINGS);
    }
}
