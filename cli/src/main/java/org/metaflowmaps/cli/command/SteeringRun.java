package org.metaflowmaps.cli.command;

import java.io.IOException;
import java.io.PrintWriter;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.cli.option.CheckpointOption;
import org.metaflowmaps.cli.option.ConfigOption;
import org.metaflowmaps.cli.option.DeviceOption;
import org.metaflowmaps.cli.option.GraphsOption;
import org.metaflowmaps.cli.option.GuidanceOption;
import org.metaflowmaps.cli.option.ItemsOption;
import org.metaflowmaps.cli.option.OutOption;
import org.metaflowmaps.cli.option.PrecisionOption;
import org.metaflowmaps.cli.option.RewardOption;
import org.metaflowmaps.cli.option.StrengthOption;
import org.metaflowmaps.cli.report.Png;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.Torch;
import org.metaflowmaps.runtime.file.Safetensors;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** The options that all commands share that draw samples of a tilted law. */
final class SteeringRun {
    @Spec(Spec.Target.MIXEE)
    private @Nullable CommandSpec command;

    @Mixin
    private final CheckpointOption checkpoint = new CheckpointOption();

    @Mixin
    private final RewardOption reward = new RewardOption();

    @Mixin
    private final StrengthOption strength = new StrengthOption();

    @Mixin
    private final ItemsOption items = new ItemsOption();

    @Mixin
    private final GuidanceOption guidance = new GuidanceOption();

    @Mixin
    private final OutOption out;

    @Mixin
    @SuppressWarnings("unused") // ConfigWords reads it
    private final ConfigOption config = new ConfigOption();

    @Mixin
    private final DeviceOption device = new DeviceOption();

    @Mixin
    private final PrecisionOption precision = new PrecisionOption();

    @Mixin
    private final GraphsOption graphs = new GraphsOption();

    /** Makes the options with the default of {@code --out}. */
    SteeringRun(String out) {
        this.out = new OutOption(out);
    }

    /** Throws if an option is out of range, before libtorch is loaded. */
    void check() {
        items.check();
        reward.check();
        strength.get();
        if (!out.isNumbers()) {
            Png.checkName(out.file());
        }
    }

    /** Throws if the strength is not above 0, for searches that only maximise. */
    void requirePositiveStrength() {
        if (!(strength.get() > 0)) {
            throw new IllegalArgumentException("--lambda " + strength.get()
                    + " is out of range: a search maximises the reward, so give a number above 0");
        }
    }

    /** Throws if graphs are wanted, for a method whose steps cannot be captured. */
    void requireNoGraphs(String why) {
        if (graphs.isOn()) {
            throw new IllegalArgumentException("--graphs is not for " + why + ": leave it out");
        }
    }

    /** Loads the map and the reward; the caller closes the result. */
    SteeringInputs open() throws IOException {
        MetaFlowMap map = out.isNumbers() ? checkpoint.loadAny(device) : checkpoint.load(device);
        try {
            LoadedReward loaded = LoadedReward.of(
                    reward, checkpoint, map, items.labels(map, checkpoint.classNames(map)), items.seed(), device.get());
            loaded.describe(terminal());
            try {
                return new SteeringInputs(
                        map,
                        loaded,
                        strength.get(),
                        checkpoint.classNames(map),
                        guidance.scale(map),
                        items,
                        device.get(),
                        precision.on(device.get()),
                        graphs);
            } catch (IOException | RuntimeException e) {
                loaded.close();
                throw e;
            }
        } catch (IOException | RuntimeException e) {
            map.close();
            throw e;
        }
    }

    /**
     * Writes samples, and prints the file's name, and what a stop left undone.
     *
     * @param base samples without steering, as many or more, to show beside the others; null for none
     * @param method for the file's metadata
     */
    void write(SteeringInputs inputs, SteeringInputs.Drawn drawn, SteeringInputs.@Nullable Drawn base, String method)
            throws IOException {
        if (out.isNumbers()) {
            Map<String, Tensor> tensors = new LinkedHashMap<>();
            if (inputs.visible().latents() != null) {
                tensors.put("latents", drawn.samples());
            }
            tensors.put("images", inputs.visible().images(drawn.samples()));
            int count = drawn.rewards().length;
            tensors.put("labels", Torch.of(Arrays.copyOf(inputs.labels(), count)));
            tensors.put("rewards", Torch.of(drawn.rewards()));
            if (base != null) {
                tensors.put(
                        "base_images", inputs.visible().images(base.samples().narrow(0, 0, count)));
                tensors.put("base_rewards", Torch.of(Arrays.copyOf(base.rewards(), count)));
            }
            Map<String, String> about = new LinkedHashMap<>();
            about.put("seed", Long.toString(items.seed()));
            about.put("reward", reward.spec().toString());
            inputs.rewardSettings().ifPresent(settings -> about.put("reward_settings", settings));
            about.put("lambda", Double.toString(strength.get()));
            about.put("method", method);
            about.put("evaluations", Long.toString(drawn.evaluations()));
            drawn.stopped().ifPresent(what -> about.put("stopped", what));
            Safetensors.write(out.file(), about, tensors);
        } else {
            Png.write(inputs.picture(drawn, base).draw(inputs.visible().enlargement()), out.file());
        }
        PrintWriter terminal = terminal();
        drawn.stopped().ifPresent(terminal::println);
        terminal.println(out.file());
        terminal.flush();
    }

    /** Throws if the picture would not fit in memory, before samples are drawn for it. */
    void requireRoom(SteeringInputs inputs, boolean compare) {
        if (!out.isNumbers()) {
            inputs.requireRoom(compare);
        }
    }

    PrintWriter terminal() {
        return Objects.requireNonNull(command).commandLine().getOut();
    }
}
