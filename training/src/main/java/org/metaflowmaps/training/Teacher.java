package org.metaflowmaps.training;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Objects;
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
 * The conditional drift that a run is distilled from, and what is behind it.
 *
 * @param drift null if there is no teacher
 * @param network null unless the teacher is one; owned by this object
 * @param mixture null unless the teacher is exact; owned by this object
 */
record Teacher(
        @Nullable ConditionalDrift drift,
        @Nullable MetaFlowMap network,
        @Nullable GaussianMixture mixture) implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Teacher.class);

    /**
     * The teacher of a configuration.
     *
     * @param given the teacher where the configuration says that it is given; null otherwise
     * @param student the network that learns, not kept
     * @throws IOException if its file is missing, damaged or of no known network
     * @throws IllegalArgumentException if it does not fit the student, or if one is given exactly where none is asked for
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
                MetaFlowMap network = Networks.teacher(file, config.model(), teacher.zeroData(), device);
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
                            "config: teacher.kind is given, but no teacher was: it can only be handed over in Java, to"
                                    + " Trainer's constructor. A file can ask for none, network or mixture");
                }
                yield new Teacher(given, null, null);
            }
        };
    }

    private static void requireFit(MetaFlowMap network, MetaFlowMap student) {
        if (!network.itemShape().equals(student.itemShape()) || network.classes() != student.classes()) {
            throw new IllegalArgumentException("config: the teacher takes items of shape " + network.itemShape()
                    + " with " + network.classes() + " classes, the network that learns "
                    + student.itemShape() + " with " + student.classes()
                    + ": with other classes its labels would mean something else, so give a teacher of the same data");
        }
    }

    /** True if model guidance is undone and another scale applied, which is wrong where the teacher was not guided. */
    static boolean undoesTooMuch(TrainConfig config) {
        return config.teacher().guidance() == TeacherConfig.Guidance.DMF
                && config.labelDrop() < 1
                && !GuidedDrift.isBuiltIn(config.guidance(), config.teacher().builtIn());
    }

    private static Drift guided(TrainConfig config, MetaFlowMap network) {
        TeacherConfig teacher = config.teacher();
        if (undoesTooMuch(config)) {
            LOG.warn(
                    "warning: guidance {}, the teacher's own {}: undoing it is right only where it was trained with"
                            + " guidance",
                    config.guidance(),
                    1 / (1 - teacher.builtIn()));
        }
        Drift plain = new NetworkDrift(network, false);
        double builtIn = teacher.guidance() == TeacherConfig.Guidance.DMF ? teacher.builtIn() : 0;
        // Where no item keeps its label any scale gives the same: the teacher's own is the cheapest.
        double scale = config.labelDrop() == 1 ? 1 / (1 - builtIn) : config.guidance();
        return teacher.guidance() == TeacherConfig.Guidance.NONE
                ? plain
                : GuidedDrift.ofScale(plain, network.classes(), builtIn, scale);
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
