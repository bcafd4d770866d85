package org.metaflowmaps.training.plan;

import org.metaflowmaps.models.drift.GuidedDrift;
import org.metaflowmaps.training.config.LossConfig;
import org.metaflowmaps.training.config.TeacherConfig;
import org.metaflowmaps.training.config.TrainConfig;
import org.metaflowmaps.training.loss.Lagrangian;

/**
 * The network evaluations of one loss; see the table in docs/losses.md.
 *
 * @param recorded with a gradient graph and a backward pass
 * @param through the same, with a tangent through which gradients flow
 * @param tangents tangents of recorded evaluations, without gradients
 * @param alongEnd true if tangents are along the end time u, false if along the start time s and the state
 * @param silent of the trained network without a graph
 * @param averaged of the moving average
 * @param teacher of a teacher's network
 * @param silentLast true if evaluations without a graph happen while that of a recorded one is in memory
 */
record LossPasses(
        int recorded,
        int through,
        int tangents,
        boolean alongEnd,
        int silent,
        int averaged,
        int teacher,
        boolean silentLast) {
    /** Returns the passes of the diagonal loss. */
    static LossPasses diagonal(TrainConfig config) {
        boolean guided = config.loss().velocity() == LossConfig.VelocityKind.GUIDED;
        return new LossPasses(1, 0, 0, false, guided ? 1 : 0, 0, velocityTeacher(config), true);
    }

    /**
     * Returns the passes of the consistency loss, of alpha-flow at its last stage.
     *
     * @return no evaluations, {@link #isEmpty}, for a run without this loss
     */
    static LossPasses consistency(TrainConfig config) {
        LossConfig loss = config.loss();
        int guided = loss.velocity() == LossConfig.VelocityKind.GUIDED ? 2 : 0;
        int teacher = teacherEvaluations(config);
        return switch (loss.consistency()) {
            case NONE -> new LossPasses(0, 0, 0, false, 0, 0, 0, false);
            case SEMIGROUP, PSD, SHORTCUT ->
                new LossPasses(1, 0, 0, false, loss.averaged() ? 0 : 2, loss.averaged() ? 2 : 0, 0, false);
            case MEAN_FLOW, ALPHA_FLOW -> new LossPasses(1, 0, 1, false, guided, 0, velocityTeacher(config), false);
            case IMPROVED_MEAN_FLOW ->
                new LossPasses(1, 0, 1, false, guided == 0 ? 1 : guided, 0, velocityTeacher(config), false);
            case EULERIAN -> new LossPasses(1, 0, 1, false, 1, 0, 0, false);
            case EULERIAN_TEACHER -> new LossPasses(1, 0, 1, false, 0, 0, teacher, false);
            case LAGRANGIAN -> lagrangian(loss.through(), 1, 0, 0);
            case LAGRANGIAN_TEACHER -> lagrangian(loss.through(), 0, 0, teacher);
            case TERMINAL_VELOCITY -> lagrangian(Lagrangian.Through.DERIVATIVE, 0, 1, 0);
        };
    }

    private static LossPasses lagrangian(Lagrangian.Through through, int silent, int averaged, int teacher) {
        return switch (through) {
            case DERIVATIVE -> new LossPasses(0, 1, 0, true, silent, averaged, teacher, true);
            case AVERAGE -> new LossPasses(1, 0, 1, true, silent, averaged, teacher, true);
            case VELOCITY -> new LossPasses(2, 0, 1, true, 0, 0, 0, false);
        };
    }

    private static int velocityTeacher(TrainConfig config) {
        return config.loss().velocity() == LossConfig.VelocityKind.TEACHER ? teacherEvaluations(config) : 0;
    }

    /** Evaluations of a teacher's network for its drift: two under classifier-free guidance, see docs/losses.md. */
    private static int teacherEvaluations(TrainConfig config) {
        TeacherConfig teacher = config.teacher();
        if (teacher.kind() != TeacherConfig.Kind.NETWORK) {
            return 0;
        }
        double builtIn = teacher.guidance() == TeacherConfig.Guidance.DMF ? teacher.builtIn() : 0;
        boolean plain = teacher.guidance() == TeacherConfig.Guidance.NONE
                || config.labelDrop() == 1
                || GuidedDrift.isBuiltIn(config.guidance(), builtIn);
        return plain ? 1 : 2;
    }

    /** Returns true if the loss has no evaluation. */
    boolean isEmpty() {
        return recorded + through == 0;
    }
}
