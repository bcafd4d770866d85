package org.metaflowmaps.training;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Objects;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.models.checkpoint.Networks;
import org.metaflowmaps.models.drift.ConditionalDrift;
import org.metaflowmaps.models.drift.Drift;
import org.metaflowmaps.models.drift.Glass;
import org.metaflowmaps.models.drift.GuidedDrift;
import org.metaflowmaps.models.drift.NetworkDrift;
import org.metaflowmaps.models.mixture.GaussianMixture;
import org.metaflowmaps.models.model.MetaFlowMap;
import org.metaflowmaps.runtime.Device;
import org.metaflowmaps.training.config.TeacherConfig;
import org.metaflowmaps.training.config.TrainConfig;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The conditional drift that a run is distilled from, with its network or mixture.
 *
 * @param drift null if there is no teacher
 * @param network null unless the teacher is a network; owned by this object
 * @param mixture null unless the teacher is exact; owned by this object
 */
record Teacher(
        @Nullable ConditionalDrift drift,
        @Nullable MetaFlowMap network,
        @Nullable GaussianMixture mixture) implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Teacher.class);

    /**
     * Opens the teacher of a configuration.
     *
     * @param given the teacher if {@code teacher.kind} is given; null otherwise
     * @param student the network to train, not kept
     * @throws IOException if its file is missing, damaged or not a known network
     * @throws IllegalArgumentException if it does not fit the student, or if {@code given} does not match
     *     {@code teacher.kind}
     */
    static Teacher open(TrainConfig config, @Nullable ConditionalDrift given, MetaFlowMap student, Device device)
            throws IOException {
        TeacherConfig teacher = config.teacher();
        if (given != null && teacher.kind() != TeacherConfig.Kind.GIVEN) {
            throw new IllegalArgumentException("config: the trainer was given a teacher, but teacher.kind is "
                    + teacher.kind().name().toLowerCase(Locale.ROOT) + ": set it to given");
        }
        return switch (teacher.kind()) {
            case NONE -> new Teacher(null, null, null);
            case MIXTURE -> {
                GaussianMixture mixture = GaussianMixture.isotropic(
                        config.data().means(), config.data().variance(), device);
                yield new Teacher(new Glass(mixture.uncheckedDrift()), null, mixture);
            }
            case NETWORK -> {
                Path file = Path.of(Objects.requireNonNull(teacher.file()));
                MetaFlowMap network =
                        Networks.teacher(file, config.model(), Optional.ofNullable(teacher.zeroData()), device);
                try {
                    requireFit(network, student);
                    yield new Teacher(new Glass(guided(config, network)), network, null);
                } catch (RuntimeException e) {
                    network.close();
                    throw e;
                }
            }
            case GIVEN -> {
                if (given == null) {
                    throw new IllegalArgumentException(
                            "config: teacher.kind is given, but no teacher was passed to TrainingRun's constructor:"
                                    + " pass one in Java, or set teacher.kind to none, network or mixture");
                }
                yield new Teacher(given, null, null);
            }
        };
    }

    private static void requireFit(MetaFlowMap network, MetaFlowMap student) {
        if (!network.itemShape().equals(student.itemShape()) || network.classes() != student.classes()) {
            throw new IllegalArgumentException("config: the teacher takes items of shape " + network.itemShape()
                    + " with " + network.classes() + " classes, the trained network "
                    + student.itemShape() + " with " + student.classes()
                    + ": labels would differ in meaning, so use a teacher of the same data");
        }
    }

    /**
     * Returns true if model guidance is undone and another scale applied, which is wrong if the teacher was not guided.
     */
    static boolean undoesTooMuch(TrainConfig config) {
        return config.teacher().guidance() == TeacherConfig.Guidance.DMF
                && config.labelDrop() < 1
                && !GuidedDrift.isBuiltIn(config.guidance(), config.teacher().builtIn());
    }

    private static Drift guided(TrainConfig config, MetaFlowMap network) {
        TeacherConfig teacher = config.teacher();
        if (undoesTooMuch(config)) {
            LOG.warn(
                    "warning: guidance is {}, the teacher's {}: undoing it is right only if the teacher was trained"
                            + " with guidance",
                    config.guidance(),
                    1 / (1 - teacher.builtIn()));
        }
        Drift plain = new NetworkDrift(network, false);
        double builtIn = teacher.guidance() == TeacherConfig.Guidance.DMF ? teacher.builtIn() : 0;
        // If no item keeps its label, every scale gives the same result; the teacher's scale is the cheapest.
        double scale = config.labelDrop() == 1 ? 1 / (1 - builtIn) : config.guidance();
        return teacher.guidance() == TeacherConfig.Guidance.NONE
                ? plain
                : GuidedDrift.ofScale(plain, network.classes(), builtIn, scale);
    }

    /** Converts the network's weights to bfloat16 once, for all evaluations under autocast. */
    void narrow() {
        if (network != null) {
            network.parameters().narrow();
        }
    }

    @Override
    public void close() {
        if (network != null) {
            network.close();
        }
        if (mixture != null) {
            mixture.close();
        }
    }
}
