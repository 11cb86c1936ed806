//! Scenes to be spoilt: textured, in steady motion, each an ffmpeg filter graph drawn from the seed.
//!
//! A texture is noise in four octaves, as clouds and stone have it: no flat areas and no repeats,
//! so that motion can be measured everywhere and a blurred or frozen copy differs from the
//! original.

use crate::corpus::FRAME_RATE;
use crate::seed::Seed;

/// Width of a source clip.
const WIDTH: u32 = 832;
/// Height of a source clip.
const HEIGHT: u32 = 480;

/// Plays one still picture for ever.
const REPEAT: &str = "loop=loop=-1:size=1:start=0,setpts=N/16/TB";
/// Grid sizes of the octaves, and their weights.
const OCTAVES: [(u32, u32, u32); 4] = [(8, 6, 6), (30, 20, 4), (110, 70, 3), (416, 240, 2)];

/// A kind of moving picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scene {
    /// A landscape that slides past, with one ball in front.
    Pan,
    /// A landscape that turns, with one ball in front.
    Turn,
    /// A slow zoom into a fractal.
    Zoom,
    /// A near and a far landscape that slide at two speeds.
    Parallax,
    /// Three balls that circle over a landscape at rest.
    Orbit,
}

/// Whether the picture is dark or bright: a cut between the two is a cut for every scene detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Light {
    /// Mostly dark.
    Night,
    /// Mostly bright.
    Day,
}

impl Scene {
    /// All kinds.
    pub(super) const ALL: [Self; 5] =
        [Self::Pan, Self::Turn, Self::Zoom, Self::Parallax, Self::Orbit];

    /// The filter graph that plays this scene for `seconds` into the link `[label]`. `name`
    /// separates its draws from those of other scenes.
    pub(super) fn graph(
        self,
        seed: &Seed,
        name: &str,
        light: Light,
        seconds: f64,
        label: &str,
    ) -> String {
        let draw = Draw { seed, name, label };
        let picture = match self {
            Self::Pan => draw.pan(),
            Self::Turn => draw.turn(),
            Self::Zoom => draw.zoom(),
            Self::Parallax => draw.parallax(),
            Self::Orbit => draw.orbit(),
        };
        let (hue, brightness) = (
            draw.number("hue", -180.0, 180.0),
            match light {
                Light::Night => -0.16,
                Light::Day => 0.16,
            },
        );
        format!(
            "{picture},format=yuv420p,hue=h={hue:.1},eq=contrast=0.85:brightness={brightness},setsar=1,fps={FRAME_RATE},\
             trim=duration={seconds:.3},setpts=PTS-STARTPTS[{label}]"
        )
    }
}

struct Draw<'a> {
    seed: &'a Seed,
    name: &'a str,
    label: &'a str,
}

impl Draw<'_> {
    fn number(&self, what: &str, low: f64, high: f64) -> f64 {
        self.seed.between(&format!("scene/{}/{what}", self.name), low, high)
    }

    /// Either direction, at a speed between `low` and `high`.
    fn speed(&self, what: &str, low: f64, high: f64) -> f64 {
        let speed = self.number(what, low, high);
        if self.number(&format!("{what}/sign"), -1.0, 1.0) < 0.0 { -speed } else { speed }
    }

    /// One still picture of octave noise.
    fn texture(&self, what: &str, width: u32, height: u32) -> String {
        let label = self.label;
        let mut graph = String::new();
        let mut links = String::new();
        let mut weights = String::new();
        for (index, (columns, rows, weight)) in OCTAVES.iter().enumerate() {
            let noise = self.number(&format!("{what}/noise/{index}"), 0.0, 1e6) as u32;
            graph += &format!(
                "color=gray:s={columns}x{rows}:r={FRAME_RATE},format=yuv444p,noise=alls=100:all_seed={noise},\
                 trim=end_frame=1,scale={width}:{height}:flags=bicubic[{label}{what}{index}];"
            );
            links += &format!("[{label}{what}{index}]");
            weights += &format!("{weight} ");
        }
        format!(
            "{graph}{links}mix=inputs={}:weights='{}',eq=contrast=1.7:saturation=1.3",
            OCTAVES.len(),
            weights.trim()
        )
    }

    /// A textured ball of this size on the link `[…]` that is returned with it.
    fn ball(&self, what: &str) -> (String, String) {
        let size = self.number(&format!("{what}/size"), 70.0, 110.0) as u32 * 2;
        let brightness = self.speed(&format!("{what}/light"), 0.12, 0.2);
        let link = format!("[{}{what}]", self.label);
        let radius = size / 2;
        let graph = format!(
            "{},eq=contrast=1.3:brightness={brightness:.3},format=yuva444p,\
             geq=lum='lum(X,Y)':cb='cb(X,Y)':cr='cr(X,Y)':a='255*clip(({radius}-hypot(X-{radius},Y-{radius}))/4,0,1)',\
             {REPEAT}{link};",
            self.texture(what, size, size)
        );
        (graph, link)
    }

    /// The path of a ball: slow waves across the picture.
    fn path(&self, what: &str) -> String {
        let (x, y) = (
            self.number(&format!("{what}/x"), 0.4, 0.8),
            self.number(&format!("{what}/y"), 0.4, 0.8),
        );
        let phase = self.number(&format!("{what}/phase"), 0.0, 6.2);
        format!(
            "overlay=x='(W-w)*(0.5+0.42*sin({phase:.3}+{x:.3}*t))':y='(H-h)*(0.5+0.42*cos({phase:.3}+{y:.3}*t))':format=yuv444"
        )
    }

    fn with_ball(&self, ground: &str) -> String {
        let (ball, link) = self.ball("ball");
        let label = self.label;
        format!("{ground}[{label}ground];{ball}[{label}ground]{link}{}", self.path("ball"))
    }

    /// A crop that travels over a texture twice its size; 12 s stay inside.
    fn travel(&self, what: &str, slow: f64, fast: f64) -> String {
        let (x, y) = (
            self.speed(&format!("{what}/x"), slow, fast),
            self.speed(&format!("{what}/y"), slow / 3.0, fast / 3.0),
        );
        format!("crop={WIDTH}:{HEIGHT}:x='(iw-ow)/2+{x:.2}*(t-5)':y='(ih-oh)/2+{y:.2}*(t-5)'")
    }

    fn pan(&self) -> String {
        let ground = format!(
            "{},{REPEAT},{}",
            self.texture("ground", WIDTH * 2, HEIGHT * 2),
            self.travel("ground", 24.0, 48.0)
        );
        self.with_ball(&ground)
    }

    fn turn(&self) -> String {
        let (turn, phase) = (self.speed("turn", 0.06, 0.12), self.number("phase", 0.0, 6.2));
        let texture = self.texture("ground", 1000, 1000);
        self.with_ball(&format!(
            "{texture},{REPEAT},rotate=a='{phase:.3}+{turn:.4}*t':ow={WIDTH}:oh={HEIGHT}"
        ))
    }

    fn zoom(&self) -> String {
        let (x, y) = (self.number("x", -0.7445, -0.7430), self.number("y", 0.1305, 0.1320));
        let scale = self.number("scale", 0.006, 0.012);
        format!(
            "mandelbrot=size={WIDTH}x{HEIGHT}:rate={FRAME_RATE}:start_x={x:.6}:start_y={y:.6}:start_scale={scale:.5}:\
             end_scale={:.6}:end_pts=240:maxiter=400,format=yuv444p,gblur=sigma=1.6",
            scale / 3.0
        )
    }

    fn parallax(&self) -> String {
        let label = self.label;
        let far = format!(
            "{},{REPEAT},{}",
            self.texture("far", WIDTH * 2, HEIGHT * 2),
            self.travel("far", 12.0, 20.0)
        );
        let near = format!(
            "{},eq=brightness=0.12:saturation=0.6,format=yuva444p,geq=lum='lum(X,Y)':cb='cb(X,Y)':cr='cr(X,Y)':\
             a='255*clip((Y-130-50*sin(X/150)-20*sin(X/37))/3,0,1)',{REPEAT}",
            self.texture("near", WIDTH * 2, 340)
        );
        let speed = self.speed("near", 36.0, 56.0);
        format!(
            "{far}[{label}far];{near}[{label}near];[{label}far][{label}near]\
             overlay=x='(W-w)/2+{speed:.2}*(t-5)':y=H-h:format=yuv444"
        )
    }

    fn orbit(&self) -> String {
        let label = self.label;
        let mut graph = format!(
            "{},{REPEAT},{}[{label}layer0];",
            self.texture("ground", WIDTH * 2, HEIGHT * 2),
            self.travel("ground", 3.0, 6.0)
        );
        for index in 0..3 {
            let (ball, link) = self.ball(&format!("ball{index}"));
            graph +=
                &format!("{ball}[{label}layer{index}]{link}{}", self.path(&format!("ball{index}")));
            if index < 2 {
                graph += &format!("[{label}layer{}];", index + 1);
            }
        }
        graph
    }
}
