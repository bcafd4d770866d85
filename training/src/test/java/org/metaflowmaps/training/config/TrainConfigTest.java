package org.metaflowmaps.training.config;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;
import tools.jackson.databind.json.JsonMapper;

/** Configurations made in Java, without a file. */
final class TrainConfigTest {
    @Test
    void settingsAreChangedOneByOne() throws IOException {
        TrainConfig config = TrainConfig.load("quickstart", "steps=4")
                .with("batch=8", "optimizer.clip=2")
                .with("batch=9");
        assertEquals(4, config.steps());
        assertEquals(9, config.batch());
        assertEquals(2, config.optimizer().clip());
    }

    @ParameterizedTest
    @FieldSource("org.metaflowmaps.training.config.Configs#BUILT_IN")
    void nothingElseChanges(String name) throws IOException {
        JsonMapper json = JsonMapper.builder().build();
        TrainConfig config = TrainConfig.load(name);
        assertEquals(json.writeValueAsString(config), json.writeValueAsString(config.with()));
        assertEquals(
                json.writeValueAsString(config).replace("\"seed\":" + config.seed() + ",", "\"seed\":-9,"),
                json.writeValueAsString(config.with("seed=-9")));
    }

    @Test
    void openSizesFollowTheData() throws IOException {
        TrainConfig config = TrainConfig.load("mixture/flow")
                .with("data.means=[[0, 1, 2], [3, 4, 5]]", "model.mlp.dimension=null", "model.mlp.label_dim=null");
        assertEquals(3, Objects.requireNonNull(config.model().mlp()).dimension());
        assertEquals(2, Objects.requireNonNull(config.model().mlp()).labelDim());
    }

    @Test
    void wrongSettingsAreRefused() throws IOException {
        TrainConfig config = TrainConfig.load("quickstart");
        for (List<String> wrong : List.of(
                List.of("step=3", "did you mean 'steps'?"),
                List.of("steps", "write key=value"),
                List.of("steps=many", "'steps' is 'many', expected a whole number"),
                List.of("batch=0", "batch is 0"))) {
            Exception refused = assertThrows(Exception.class, () -> config.with(wrong.getFirst()));
            assertTrue(String.valueOf(refused.getMessage()).contains(wrong.get(1)), refused::toString);
        }
        assertTrue(String.valueOf(assertThrows(IOException.class, () -> TrainConfig.load("quickstar"))
                        .getMessage())
                .contains("did you mean 'quickstart'?"));
    }
}
